"""The callbacks server as a process of its own, and what its visitors send. The tests of its routes share this."""

import base64
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from urllib.parse import urlencode

import httpx
from claiming import claim
from nacl.signing import SigningKey
from pydantic import BaseModel

from campaigns.call import SIGNATURE_HEADER, sign_message
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.machine.processes import Processes, free_port, wait_for_port
from worker.store import Store

KEY = SigningKey.generate()
SECRET = "a brief secret"
NAME = {"name": "Ada", "day": "Tuesday", "time": "nine"}


@dataclass(frozen=True)
class Server:
    client: httpx.Client
    port: int
    process: Popen[str]
    log: Path

    @property
    def resident_mb(self) -> float:
        (line,) = [line for line in self._status().splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024

    def _status(self) -> str:
        return Path(f"/proc/{self.process.pid}/status").read_text("utf-8")


@contextmanager
def serving(redis_url: str, folder: Path, **more: str) -> Iterator[Server]:
    port = free_port()
    environment = {
        "REDIS_URL": redis_url, "DIALOUT_DATA": str(folder), "TELNYX_API_KEY": "k", "TELNYX_TEXML_APP_ID": "1",
        "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(KEY.verify_key)).decode(), "CALLER_IDS": "+12125550100",
        "PUBLIC_URL": "https://dialer.example", "BRIEF_SECRET": SECRET, "STREAM_URL": "ws://agent.example/ws",
    } | more  # fmt: skip
    with Processes(folder) as processes:
        process = processes.start(
            "callbacks", ["uvicorn", "worker.callbacks:app", "--port", str(port), "--log-level", "warning"], environment
        )
        wait_for_port(port, processes, 300)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
            yield Server(client, port, process, folder / "callbacks.log")


def dialed(store: Store, campaign: Campaign) -> str:
    """Enlist one contact, claim it and begin its attempt; returns the attempt's id."""
    store.campaigns.define(campaign)
    contact = Contact("+12125550111", NAME, 2)
    store.contacts.enlist(campaign, [(contact, place_of(contact))], store.now())
    (attempt_id,) = claim(store, campaign)
    case = store.attempts.case(attempt_id)
    assert case
    second = timedelta(seconds=1)
    assert store.attempts.begin(
        case,
        "t",
        lease=60 * second,
        first_look=60 * second,
        account_interval=second,
        campaign_interval=second,
        record={"v": "1"},
    ).dial
    return attempt_id


def changed(campaign: Campaign, **update: object) -> Campaign:
    """Return the campaign with other values, and so with another version. The server caches by name and version."""
    return Campaign.model_validate(campaign.model_dump() | update)


def tell(client: httpx.Client, path: str, message: BaseModel, purpose: str) -> httpx.Response:
    """Send a signed message as the bot does."""
    body = message.model_dump_json().encode()
    header = sign_message(body, SECRET, purpose=purpose, now=time.time())
    return client.post(path, content=body, headers={SIGNATURE_HEADER: header})


def signed(form: Mapping[str, str] | bytes, *, age_s: int = 0, key: SigningKey = KEY) -> dict[str, object]:
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    at = str(int(time.time()) - age_s)
    signature = base64.b64encode(key.sign(at.encode() + b"|" + body).signature).decode()
    headers = {
        "telnyx-timestamp": at, "telnyx-signature-ed25519": signature, "content-type": "application/x-www-form-urlencoded",
    }  # fmt: skip
    return {"content": body, "headers": headers}
