"""Campaigns in the record: their definitions, their states, and the places of their contacts."""

from collections.abc import Mapping

from campaigns.campaign import Campaign
from campaigns.places import Place, read_label
from worker.rules.do_not_call import read_registries
from worker.rules.states import CampaignState
from worker.store.base import Database, NounStore, known
from worker.store.errors import StoreError, UnknownCampaign
from worker.store.keys import Subject, key
from worker.store.scripts import DEFINE, SET_STATE
from worker.store.values import UnderWay


class CampaignStore(NounStore):
    """What is kept about campaigns."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._parsed: dict[tuple[str, str], Campaign] = {}

    def define(self, campaign: Campaign, *, paused: bool = False) -> None:
        """Keep a campaign's definition, so that workers need no files. A running campaign obeys it from its next dial on.

        Raises StoreError for a campaign that was stopped.
        """
        kept = self._run(
            DEFINE,
            Subject(campaign=campaign.name),
            name=campaign.name,
            definition=campaign.model_dump_json(),
            version=campaign.version,
            hold_back=int(paused),
        )
        if not kept:
            raise StoreError(f"the campaign {campaign.name} was stopped; give the folder a new name to begin again")

    def names(self) -> list[str]:
        """Return the names of all campaigns, the oldest first."""
        since: dict[str, str] = self._redis.hgetall(key("campaigns"))  # type: ignore[assignment]
        return sorted(since, key=lambda name: int(since[name]))

    def get(self, name: str) -> tuple[Campaign, CampaignState, str]:
        """Return a campaign's definition, its state, and the reason for that state ("" if none was given).

        Raises UnknownCampaign.
        """
        kept: list[str | None] = self._redis.hmget(key("campaign", name), "definition", "version", "state", "why")  # type: ignore[assignment]
        definition, version, state, why = kept
        if definition is None or version is None:
            raise UnknownCampaign(name)
        if (name, version) not in self._parsed:
            self._parsed[name, version] = Campaign.model_validate_json(definition)
        return self._parsed[name, version], state_of(state), why or ""

    def definition(self, name: str, version: str) -> Campaign:
        """Return a campaign's definition. Each version is read from Redis once."""
        return self._parsed.get((name, version)) or self.get(name)[0]

    def set_state(self, name: str, state: CampaignState, why: str = "") -> None:
        """Pause, resume or stop a campaign, from its next dial on.

        Raises UnknownCampaign, and StoreError for a campaign that was stopped: a stop is for good.
        """
        was = self._run(SET_STATE, Subject(campaign=name), state=state.value, why=why)
        if not was:
            raise UnknownCampaign(name)
        if was == CampaignState.STOPPED and state is not CampaignState.STOPPED:
            raise StoreError(f"the campaign {name} was stopped, and a stop is for good; enqueue it under a new name")

    def places(self, name: str) -> dict[Place, str]:
        """Return the places of a campaign's contacts, each with its short number."""
        return _places(self._redis.hgetall(key("zones", name)))  # type: ignore[arg-type]

    def under_way(self) -> list[UnderWay]:
        """Return all campaigns as a claim sees them, in two round trips."""
        names = self.names()
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(key("campaign", name), "version", "state")
                pipe.zcard(key("live", name))
                pipe.hgetall(key("zones", name))
                pipe.hmget(key("odds", name), "answered", "rung_out")
            pipe.hgetall(key("lists"))
            *found, lists = pipe.execute()
        registries = read_registries(lists)
        each = zip(names, found[::4], found[1::4], found[2::4], found[3::4], strict=True)
        return [
            UnderWay(
                name=name,
                version=version or "",
                state=state_of(state),
                live=live,
                places=_places(zones),
                answered=int(odds[0] or 0),
                rung_out=int(odds[1] or 0),
                registries=registries,
            )
            for name, (version, state), live, zones, odds in each
        ]


def state_of(kept: str | None) -> CampaignState:
    """Read a campaign's state; raises UnknownAnswer. One that no operator has touched is running."""
    return known(CampaignState, kept, "state of a campaign") if kept else CampaignState.RUNNING


def _places(kept: Mapping[str, str]) -> dict[Place, str]:
    return {read_label(label): number for label, number in kept.items()}
