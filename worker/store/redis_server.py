"""The Redis server that keeps the record: how we connect to it, and whether it will keep what we write."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from worker.settings import SettingsError

log: Final = logging.getLogger(__name__)

_OLDEST: Final = (6, 2)
_SENTINEL: Final = {"sentinel": "redis", "sentinels": "rediss"}


@dataclass(frozen=True, slots=True)
class _Address:
    """A REDIS_URL in parts: the options that redis-py connects with, and the Sentinels that know the master."""

    options: dict[str, Any]
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_password: str | None = None
    encrypted: bool = False

    @property
    def tls(self) -> dict[str, Any]:
        """The options for TLS. Certificates are verified unless the URL says otherwise."""
        if not self.encrypted:
            return {}
        given = {name: value for name, value in self.options.items() if name.startswith("ssl_")}
        return {"ssl_cert_reqs": "required", **given}

    def of_sentinels(self, timeout_s: float) -> dict[str, Any]:
        """The options for connecting to the Sentinels themselves."""
        secure = {"ssl": True, **self.tls} if self.encrypted else {}
        return {**_manner(timeout_s), "password": self.sentinel_password, **secure}


@dataclass(frozen=True, slots=True)
class Broker:
    """The same server, as Celery writes it."""

    url: str
    tls: Mapping[str, Any] | None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a server, and what to do about it. While a fatal one stands, nobody may be rung."""

    text: str
    fatal: bool = False


def connect(url: str, timeout_s: float = 5.0) -> redis.Redis:
    """Connect lazily to `redis://`, `rediss://` (TLS) or `unix://`, with redis-py's query options, or through Sentinels.

    `sentinel://USER:PASSWORD@HOST:26379,HOST:26379/DB?master=NAME` follows the master through failovers. With `sentinels://`,
    the Sentinels and the master speak TLS; `sentinel_password` is the Sentinels' password. No command is sent twice: a
    failover or an outage raises an error, and the caller decides whether to repeat. Raises SettingsError for a bad URL.
    """
    address = _read(url)
    manner = _manner(timeout_s) | {"decode_responses": True, "health_check_interval": 15}
    if not address.sentinels:
        return redis.Redis.from_url(url, **manner)
    options = manner | address.options | ({"ssl": True, **address.tls} if address.encrypted else {})
    sentinel = Sentinel(address.sentinels, sentinel_kwargs=address.of_sentinels(timeout_s), **options)
    return sentinel.master_for(address.master)


def broker(url: str) -> Broker:
    """Return how Celery connects to the same server. It writes every URL but the simplest in its own way."""
    address = _read(url)
    options = address.options
    user, password = (quote(options.get(name, ""), safe="") for name in ("username", "password"))
    login = f"{user}:{password}@" if user or password else ""
    database = options.get("db", 0)
    if path := options.get("path"):
        return Broker(f"redis+socket://{login}{path}?virtual_host={database}", None, {})
    if not address.sentinels:
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        return Broker(f"redis://{login}{_bracketed(host)}:{port}/{database}", address.tls or None, {})
    # kombu connects with one part of the URL at a time, so each part needs the login and the database.
    url = ";".join(f"sentinel://{login}{_bracketed(host)}:{port}/{database}" for host, port in address.sentinels)
    known_by = {"master_name": address.master, "sentinel_kwargs": address.of_sentinels(timeout_s=3)}
    return Broker(url, address.tls or None, known_by)


def complaints(client: redis.Redis) -> list[Complaint]:
    """Ask a server whether it will keep what we write; raises RedisError if it cannot be reached.

    A complaint is fatal if no campaign can run: the server lacks commands that we need, or refuses every write. With any other
    complaint campaigns run, but a loss of power or a full memory destroys a part of the record.
    """
    try:
        told: dict[str, Any] = client.info()  # type: ignore[assignment]
    except redis.ResponseError as error:
        return [Complaint(f"INFO is not allowed ({error}), so nothing could be checked: allow it to this user")]
    found = []
    version = str(told["redis_version"])  # Valkey gives the version of Redis that it is compatible with
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        found.append(Complaint(f"its version is {version}: install Redis 6.2 or later, or Valkey", fatal=True))
    if told["role"] != "master":
        master = f"{told.get('master_host')}:{told.get('master_port')}"
        found.append(
            Complaint(
                f"it is a replica of {master}, and takes no writes: put the master into REDIS_URL, or the Sentinels "
                "that know it",
                fatal=True,
            )
        )
    if (policy := told["maxmemory_policy"]) != "noeviction":
        found.append(
            Complaint(f"maxmemory-policy is {policy}: when memory is full, contacts vanish; set it to noeviction")
        )
    if not told["aof_enabled"]:
        found.append(
            Complaint(
                "appendonly is no: a restart forgets calls that were placed, and people are rung twice; "
                "set it to yes, and appendfsync to always"
            )
        )
    elif complaint := _complaint_about_fsync(client):
        found.append(complaint)
    return found


def _complaint_about_fsync(client: redis.Redis) -> Complaint | None:
    try:
        fsync = client.config_get("appendfsync").get("appendfsync")  # type: ignore[union-attr]
    except redis.ResponseError:
        return Complaint(
            "CONFIG is not allowed, so appendfsync could not be checked: it should be always; ask the server's provider"
        )
    if fsync == "always":
        return None
    lost = "the last second" if fsync == "everysec" else "the last half minute"
    return Complaint(
        f"appendfsync is {fsync}: a loss of power forgets {lost} of calls placed, and people are rung twice; "
        "set it to always"
    )


def examine(url: str) -> list[Complaint] | None:
    """Log what is wrong with the server, and return it; None if the server cannot be reached."""
    try:
        with connect(url) as client:
            found = complaints(client)
    except redis.RedisError as error:
        log.warning("Redis cannot be reached yet; it will be examined once it can: %s", error)
        return None
    for complaint in found:
        log.log(logging.CRITICAL if complaint.fatal else logging.ERROR, "Redis: %s", complaint.text)
    return found


def _manner(timeout_s: float) -> dict[str, Any]:
    # By default redis-py tries again, which would send a command twice if only its reply was lost.
    return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}


def _read(url: str) -> _Address:
    parts = urlsplit(url)
    try:
        if parts.scheme not in _SENTINEL:
            return _Address(parse_url(url), encrypted=parts.scheme == "rediss")
        login, at, hosts = parts.netloc.rpartition("@")
        found = [urlsplit(f"//{host}") for host in hosts.split(",")]
        sentinels = tuple((host.hostname or "", host.port or 26379) for host in found)
        # With one host, redis-py knows the form of the URL, and reads the rest of it.
        options = parse_url(f"{_SENTINEL[parts.scheme]}://{login}{at}{found[0].netloc}{parts.path}?{parts.query}")
    except ValueError as error:
        _refuse(str(error))
    master = options.pop("master", "")
    if not master or not all(host for host, _ in sentinels):
        _refuse("a sentinel URL names the Sentinels and ends in ?master=NAME, the name by which they know the master")
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    own = options.pop("sentinel_password", None)
    return _Address(options, sentinels, master, own, encrypted=parts.scheme == "sentinels")


def _refuse(why: str) -> NoReturn:
    raise SettingsError(f"REDIS_URL: {why}. .env.example shows its four forms") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
