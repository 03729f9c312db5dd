"""Run the telephone network: `python -m sandbox.telnyx --help`."""

import argparse
import base64
import sys
from pathlib import Path

from nacl.signing import SigningKey

from sandbox.people import Town, UnknownPerson
from sandbox.server import serve
from sandbox.telnyx.app import create_app
from sandbox.telnyx.network import new_net
from sandbox.telnyx.records import Records


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.telnyx", description="A stand-in for Telnyx, and people to call."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8931, help="0: any free port")
    parser.add_argument(
        "--people", type=Path, help="who lives at which number: a CSV with columns phone and person, or TOML"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", type=Path, help="append call detail records to this file")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write each call as a stereo WAV")
    parser.add_argument("--voice-url", default="", help="where the network fetches the TeXML of a call to us")
    parser.add_argument("--voice-fallback-url", default="")
    parser.add_argument("--status-url", default="", help="where the network sends the callbacks of a call to us")
    parser.add_argument("--static-texml", type=Path, help="the TeXML of a call to us if --voice-url is empty")
    parser.add_argument("--api-key", default="KEYsandbox")
    parser.add_argument("--private-key", default="", help="base64 of the 32-byte seed that callbacks are signed with")
    parser.add_argument("--number", action="append", help="one of our numbers, in E.164")
    parser.add_argument("--dials-per-5s", type=int, default=150)
    parser.add_argument(
        "--ring-scale", type=float, default=1.0, help="how long a ring lasts, as a share of the timeout"
    )
    parser.add_argument(
        "--jitter-s", type=float, default=0.2, help="the length of the jitter buffer before the earpiece"
    )
    parser.add_argument("--codec", choices=["PCMU", "PCMA"], default="PCMU", help="the codec of people's voices")
    given = parser.parse_args()
    key = SigningKey(base64.b64decode(given.private_key)) if given.private_key else SigningKey.generate()
    try:
        town = Town.load(given.people, given.seed) if given.people else Town(given.seed)
    except (OSError, UnknownPerson) as error:
        sys.stderr.write(f"{given.people}: {error}\n")
        return 1
    net = new_net(
        key=key,
        town=town,
        records=Records(given.records),
        api_key=given.api_key,
        numbers=tuple(given.number or ("+12125550100",)),
        voice_url=given.voice_url,
        voice_fallback_url=given.voice_fallback_url,
        app_status_url=given.status_url,
        static_texml=given.static_texml.read_text("utf-8") if given.static_texml else "",
        dials_per_5s=given.dials_per_5s,
        ring_scale=given.ring_scale,
        record_to=given.record,
        jitter_s=given.jitter_s,
        codec=given.codec,
    )
    return serve(create_app(net), given.host, given.port)


if __name__ == "__main__":
    sys.exit(main())
