"""The Telnyx stand-in with the bench's cast in town: `python -m bench.network --port N --jitter-s 0.3`."""

import argparse
import sys
from dataclasses import dataclass, field

from nacl.signing import SigningKey

from bench.cast import CAST
from sandbox.people import Person, Town
from sandbox.server import serve
from sandbox.telnyx.app import create_app
from sandbox.telnyx.network import new_net
from sandbox.telnyx.records import Records


@dataclass
class Street(Town):
    """The sandbox's town, where the bench's people may live too."""

    guests: dict[str, Person] = field(default_factory=dict)

    def settle(self, number: str, behaviour: str) -> None:
        """Let somebody live at a number."""
        if guest := CAST.get(behaviour):
            self.guests[number] = guest
        else:
            super().settle(number, behaviour)

    def person(self, number: str, ring: int) -> Person:
        """Return who answers."""
        return self.guests.get(number) or super().person(number, ring)


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.network", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jitter-s", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    net = new_net(
        key=SigningKey.generate(),
        town=Street(given.seed),
        records=Records(),
        jitter_s=given.jitter_s,
        dials_per_5s=10_000,
        ring_scale=0.1,
    )
    return serve(create_app(net), "127.0.0.1", given.port)


if __name__ == "__main__":
    sys.exit(main())
