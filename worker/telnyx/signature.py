"""Whether a request to us comes from Telnyx: it signs its callbacks with Ed25519, over the timestamp and the raw body.

Source: `telnyx.lib.webhook_verification` of Telnyx's SDK, which this does not import: see `carrier` for what that
costs.
"""

import base64
import re
import time
from collections.abc import Mapping
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from worker.telnyx.refusals import Forged

TOLERANCE_S: Final = 300
"""How old a signed request may be (s): Telnyx's own SDK allows as much."""


def verify(body: bytes, headers: Mapping[str, str], public_key: str) -> None:
    """Raise Forged unless Telnyx signed this body within the last five minutes; `public_key` is base64."""
    if not public_key:
        raise Forged("TELNYX_PUBLIC_KEY is not set, so no callback can be believed: set it from Telnyx's portal")
    given = {name.lower(): value for name, value in headers.items()}
    at = given.get("telnyx-timestamp", "")
    if not re.fullmatch("[0-9]{1,12}", at) or abs(time.time() - int(at)) > TOLERANCE_S:
        raise Forged(f"the request has no timestamp, or one more than {TOLERANCE_S} s away: is this clock right?")
    try:
        key = VerifyKey(base64.b64decode(public_key))
    except (ValueError, TypeError) as error:
        raise Forged("TELNYX_PUBLIC_KEY is not the base64 of 32 bytes: copy it from Telnyx's portal") from error
    try:
        signature = base64.b64decode(given.get("telnyx-signature-ed25519", ""), validate=True)
        key.verify(at.encode() + b"|" + body, signature)
    except (BadSignatureError, ValueError, TypeError) as error:
        raise Forged("the request is not signed by Telnyx") from error
