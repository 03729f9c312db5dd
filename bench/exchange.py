"""The Telnyx stand-in with a town of statistics: `python -m bench.exchange --port N --answer-rate 0.4`. Streams are mute."""

import argparse
import asyncio
import base64
import sys
from dataclasses import dataclass

from nacl.signing import SigningKey

from sandbox.people import Person, Town
from sandbox.server import serve
from sandbox.telephone import Telephone
from sandbox.telnyx.app import create_app
from sandbox.telnyx.network import new_net
from sandbox.telnyx.records import Records


async def listens(_phone: Telephone) -> None:
    """Say nothing until the caller hangs up."""
    await asyncio.Event().wait()


@dataclass
class Crowd(Town):
    """People of whom a share answers, after a few rings; with the others it rings out."""

    answer_rate: float = 1.0
    rings_s: tuple[float, float] = (1.0, 3.0)

    def person(self, number: str, ring: int) -> Person:
        """Return who answers."""
        if self.dice(number, -ring).random() < self.answer_rate:
            return Person("listens", script=listens, rings_s=self.rings_s)
        return Person("no_answer", "no-answer")


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.exchange", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--private-key", required=True, help="base64 of the 32-byte seed that callbacks are signed with"
    )
    parser.add_argument("--answer-rate", type=float, default=1.0)
    parser.add_argument("--rings-s", type=float, nargs=2, default=(1.0, 3.0), help="until who answers does")
    parser.add_argument(
        "--ring-scale", type=float, default=1.0, help="how long the others ring, against what was asked"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    net = new_net(
        key=SigningKey(base64.b64decode(given.private_key)),
        town=Crowd(given.seed, answer_rate=given.answer_rate, rings_s=tuple(given.rings_s)),
        records=Records(),
        dials_per_5s=10_000,
        ring_scale=given.ring_scale,
        mute=True,
    )
    return serve(create_app(net), "127.0.0.1", given.port)


if __name__ == "__main__":
    sys.exit(main())
