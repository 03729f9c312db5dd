"""What can go wrong with the store. Each message is a sentence that says what to do."""


class StoreError(Exception):
    """The store cannot do what was asked."""


class UnknownCampaign(StoreError):
    """No contact was ever enlisted in a campaign of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no campaign named {name} was ever enqueued; `dialout status` lists those that were")


class UnknownAnswer(StoreError):
    """A script, or the record, says a word that this version of the dialer does not know."""

    def __init__(self, word: object, what: str) -> None:
        self.word = word
        super().__init__(
            f"the store says {word!r}, and this version of the dialer knows no such {what}: run one version of the dialer "
            "everywhere, or add the name to the enum (CONTRIBUTING.md)"
        )
