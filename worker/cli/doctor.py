"""`dialout doctor`: check everything that a call needs, one thing after the other, without calling anybody."""

import base64
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import redis
import typer

from worker.cli.inputs import open_carrier
from worker.cli.options import Json
from worker.cli.printing import out, print_json
from worker.dialing import briefing, own_numbers
from worker.settings import Settings, SettingsError, load_settings
from worker.store import Store, redis_server
from worker.store.redis_server import connect
from worker.telnyx.carrier import Carrier, CarrierError

_WITHIN_S: Final = 5.0
_CLOCKS_APART: Final = timedelta(seconds=30)
"""Signatures of callbacks and briefs are refused if the clocks differ by five minutes. A tenth of that leaves time to act."""

_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    check: str  # settings, redis, clock, telnyx, application, callbacks, numbers or agent
    ok: bool | None  # None: it could not be checked, or is only worth knowing
    says: str  # if it is not ok: what to do

    def facts(self) -> dict[str, Any]:
        """Return it as JSON facts: see docs/json.md."""
        return asdict(self)


def doctor(as_json: Json = False) -> None:
    """Check everything that a call needs (Redis, Telnyx, numbers, callbacks, agent), and say what to fix."""
    findings = []
    for one in examine(load_settings()):
        findings.append(one)
        if not as_json:
            verdict, color = {True: ("ok", "green"), False: ("fix", "red"), None: ("note", "yellow")}[one.ok]
            out.print(f"{verdict:<6}", style=color, end="")
            out.print(f"{one.check:<12}{one.says}", soft_wrap=True)
    well = all(one.ok is not False for one in findings)
    if as_json:
        print_json({"ok": well, "checks": [one.facts() for one in findings]})
    if not well:
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield what each check finds, in the order in which problems should be fixed."""
    yield from _settings(settings)
    yield from _redis(settings)
    try:
        settings.require("telnyx_api_key", "telnyx_texml_app_id")
    except SettingsError as error:
        yield Finding("telnyx", ok=False, says=str(error))
    else:
        with closing(open_carrier(settings, timeout_s=_WITHIN_S)) as carrier:
            yield from _telnyx(settings, carrier)
    yield from _callbacks(settings)
    yield from _agent(settings)


def _settings(settings: Settings) -> Iterator[Finding]:
    try:
        settings.require_carrier()
    except SettingsError as error:
        yield Finding("settings", ok=False, says=str(error))
        return
    try:
        usable = len(base64.b64decode(settings.telnyx_public_key, validate=True)) == _KEY_BYTES
    except ValueError:
        usable = False
    if usable:
        yield Finding("settings", ok=True, says="everything that a call needs is set")
    else:
        says = "TELNYX_PUBLIC_KEY is not the base64 of 32 bytes, so every callback is refused: copy it from Telnyx's portal"
        yield Finding("settings", ok=False, says=says)


def _redis(settings: Settings) -> Iterator[Finding]:
    try:
        with connect(settings.store_url) as client:
            complaints = redis_server.complaints(client)
            now = Store(client).now()
    except (redis.RedisError, SettingsError) as error:
        yield Finding("redis", ok=False, says=f"cannot reach Redis: {error}")
        return
    for complaint in complaints:
        yield Finding("redis", ok=False if complaint.fatal else None, says=complaint.text)
    if not complaints:
        yield Finding("redis", ok=True, says="it answers, and loses nothing that it is told")
    yield _clock("Redis's", now)


def _clock(whose: str, theirs: datetime) -> Finding:
    apart = abs(datetime.now(UTC) - theirs)
    if apart <= _CLOCKS_APART:
        return Finding("clock", ok=True, says=f"{whose} clock and this machine's agree")
    return Finding(
        "clock",
        ok=False,
        says=f"{whose} clock is {apart.total_seconds():.0f} s away from this machine's: set both by NTP",
    )


def _telnyx(settings: Settings, carrier: Carrier) -> Iterator[Finding]:
    try:
        application = carrier.application()
        yield Finding("telnyx", ok=True, says="it accepts our key")
        yield _clock("Telnyx's", carrier.clock())
    except CarrierError as error:
        yield Finding("telnyx", ok=False, says=str(error))
        return
    yield from _application(settings, application)
    yield from _numbers(settings, carrier)


def _application(settings: Settings, application: dict[str, Any] | None) -> Iterator[Finding]:
    if application is None:
        says = f"there is no TeXML application {settings.telnyx_texml_app_id}: correct TELNYX_TEXML_APP_ID"
        yield Finding("application", ok=False, says=says)
        return
    wrong = list(_wrong_with(application, settings.public_url.rstrip("/")))
    for says in wrong:
        yield Finding("application", ok=False, says=says)
    if not wrong:
        yield Finding("application", ok=True, says="it is active, and people who call back reach us")
    if not application.get("voice_fallback_url"):
        says = (
            "it has no fallback URL: while this server is down, people who call back reach nobody (docs/going-live.md)"
        )
        yield Finding("application", ok=None, says=says)


def _wrong_with(application: dict[str, Any], base: str) -> Iterator[str]:
    if application.get("active") is False:
        yield "it is not active: switch it on in Telnyx's portal"
    for name, path in (("voice_url", "/telnyx/inbound"), ("status_callback", "/telnyx/status")):
        if application.get(name) != f"{base}{path}":
            yield f"its {name} is {application.get(name) or 'empty'}: set it to {base}{path}"
    outbound = application.get("outbound")
    if isinstance(outbound, dict) and not outbound.get("outbound_voice_profile_id"):
        yield "it has no outbound voice profile, so it can place no call: assign one in Telnyx's portal"


def _numbers(settings: Settings, carrier: Carrier) -> Iterator[Finding]:
    try:
        pool = own_numbers.all_numbers(Store.at(settings.store_url), settings)
    except (redis.RedisError, SettingsError):
        pool = list(settings.caller_ids)
    try:
        owned = carrier.numbers()
    except CarrierError as error:
        yield Finding("numbers", ok=None, says=f"Telnyx did not say whether they are ours: {error}")
        return
    for number in pool:
        if number not in owned:
            yield Finding("numbers", ok=False, says=f"{number}: {own_numbers.NOT_OURS}")
        elif owned[number] != settings.telnyx_texml_app_id:
            says = f"{number} is ours, but calls to it do not reach the application: assign it in Telnyx's portal"
            yield Finding("numbers", ok=None, says=says)
        else:
            yield Finding("numbers", ok=True, says=f"{number} is ours, and calls to it reach us")


def _callbacks(settings: Settings) -> Iterator[Finding]:
    base = settings.public_url.rstrip("/")
    if not base:
        return  # the settings check has said so
    try:
        health = httpx.get(f"{base}/healthz", timeout=_WITHIN_S)
        unsigned = httpx.post(f"{base}/telnyx/status", data={"CallSid": "none"}, timeout=_WITHIN_S)
    except httpx.HTTPError as error:
        says = f"PUBLIC_URL ({base}) cannot be reached from here ({type(error).__name__}): is the callbacks server running?"
        yield Finding("callbacks", ok=False, says=says)
        return
    forbidden, well = httpx.codes.FORBIDDEN, health.status_code == httpx.codes.OK
    if not well or unsigned.status_code != forbidden:
        codes = f"/healthz answered {health.status_code}, /telnyx/status {unsigned.status_code} (200 and 403 are right)"
        yield Finding("callbacks", ok=False, says=f"PUBLIC_URL ({base}) leads to something else: {codes}")
        return
    yield Finding("callbacks", ok=True, says=f"{base} is our server, and refuses callbacks that are not signed")
    if not base.startswith("https://"):
        yield Finding("callbacks", ok=None, says="PUBLIC_URL is not HTTPS: use that only for tests on one machine")


def _agent(settings: Settings) -> Iterator[Finding]:
    if not settings.stream_url and not (settings.pipecat_agent and settings.pipecat_organization):
        return  # the settings check has said so
    url = urlsplit(briefing.stream_url(settings))
    host, encrypted = url.hostname or "", url.scheme == "wss"
    port = url.port or (443 if encrypted else 80)
    # Only the connection is tried: an agent that is asked for a stream starts, and costs money.
    taken, error = _timed(lambda: _reach(host, port, encrypted=encrypted))
    if error:
        yield Finding(
            "agent",
            ok=False,
            says=f"{host}:{port} cannot be reached ({error}): correct the PIPECAT_… settings or STREAM_URL",
        )
    else:
        yield Finding("agent", ok=True, says=f"{host}:{port} can be reached, in {taken * 1000:.0f} ms")


def _reach(host: str, port: int, *, encrypted: bool) -> None:
    with socket.create_connection((host, port), timeout=_WITHIN_S) as plain:
        if encrypted:
            ssl.create_default_context().wrap_socket(plain, server_hostname=host).close()


def _timed(action: Callable[[], None]) -> tuple[float, str]:
    began = time.monotonic()
    try:
        action()
    except OSError as error:
        return 0.0, str(error)
    return time.monotonic() - began, ""
