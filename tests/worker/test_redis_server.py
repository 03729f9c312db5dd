"""Real servers: those that deserve a complaint, behind TLS, behind Sentinels, away for a while, and full.

More than 300 lines: each kind of server and of failure is a test.
"""

import os
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import kombu
import pytest
import redis
import trustme
from servers import PATIENCE_S, answers, port_of, redis_with, running, tls_in_front_of, until

from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import BEAT, CALLBACKS, WORKER, Processes, free_port, wait_for_port
from worker.settings import SettingsError
from worker.store import Store, redis_server
from worker.store.errors import StoreError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


def settings(url: str, folder: Path) -> dict[str, str]:
    """Return an environment whose carrier does not answer."""
    return {
        "REDIS_URL": url, "DIALOUT_DATA": str(folder), "TELNYX_API_KEY": "k", "TELNYX_TEXML_APP_ID": "1",
        "TELNYX_BASE_URL": "http://127.0.0.1:9/v2", "CALLER_IDS": "+12125550100", "PUBLIC_URL": "https://x",
        "BRIEF_SECRET": "s", "STREAM_URL": "ws://x",
    }  # fmt: skip


@contextmanager
def dialer(url: str, folder: Path, *services: str, port: int = 0) -> Iterator[Processes]:
    """Start our processes, each with a log in this folder."""
    with Processes(folder) as processes:
        commands = {
            "worker": [*WORKER, "--loglevel", "INFO"],
            "beat": BEAT,
            "callbacks": [*CALLBACKS, "--port", str(port)],
        }
        for service in services:
            processes.start(service, commands[service], settings(url, folder))
        yield processes


def enlist(store: Store, campaign: Campaign, number: int) -> str:
    """Enlist one person and return the contact's id."""
    contact = Contact(f"+1212555{number:04d}", {"name": "Ada", "day": "d", "time": "t"}, 2)
    store.campaigns.define(campaign)
    store.contacts.enlist(campaign, [(contact, place_of(contact))], store.now())
    return store.contacts.id_of(campaign.name, contact.phone)


def was_dialed(store: Store, contact_id: str) -> bool:
    try:
        return any(entry["event"] == "dialed" for entry in store.reading.journal(contact_id))
    except redis.RedisError:
        return False


# --- what is complained about -----------------------------------------------------------------------------------------


def told(url: str) -> list[str]:
    with redis_server.connect(url) as client:
        return [complaint.text for complaint in redis_server.complaints(client)]


def test_the_embedded_server_deserves_no_complaint(server: EmbeddedRedis) -> None:
    assert told(server.url) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru: when memory is full, contacts vanish"),
        ({"appendonly": "no"}, "appendonly is no: a restart forgets calls that were placed"),
        ({"appendfsync": "everysec"}, "appendfsync is everysec: a loss of power forgets the last second of calls"),
        ({"appendfsync": "no"}, "appendfsync is no: a loss of power forgets the last half minute of calls"),
    ],
)
def test_a_server_that_may_forget_gets_one_sentence_of_complaint(
    options: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    with redis_with(options, tmp_path) as url:
        (only,) = told(url)
        assert only.startswith(sentence)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("config", "CONFIG is not allowed, so appendfsync could not be checked"),
        ("info", "INFO is not allowed"),
    ],
)
def test_a_provider_that_forbids_a_question_gets_a_complaint_about_that(
    command: str, sentence: str, tmp_path: Path
) -> None:
    with redis_with({}, tmp_path) as url:
        with redis.Redis.from_url(url) as client:
            client.execute_command("ACL", "SETUSER", "default", f"-{command}")
        (only,) = told(url)
        assert only.startswith(sentence)


class Old(socketserver.StreamRequestHandler):
    """Pretends to be Redis 5, the one server that cannot be installed any more."""

    def handle(self) -> None:
        known = "redis_version:5.0.14\r\nrole:master\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n"
        answers = {
            b"INFO": f"${len(known)}\r\n{known}\r\n".encode(),
            b"CONFIG": b"*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n",
        }
        while header := self.rfile.readline():
            words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2).strip() for _ in range(int(header[1:]))]
            self.wfile.write(answers.get(words[0], b"-ERR unknown command\r\n"))


def test_a_server_that_is_too_old_is_fatal() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Old) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with redis_server.connect(f"redis://127.0.0.1:{server.server_address[1]}?protocol=2") as client:
            (complaint,) = redis_server.complaints(client)
        server.shutdown()
    assert complaint.fatal
    assert complaint.text == "its version is 5.0.14: install Redis 6.2 or later, or Valkey"


def test_a_replica_is_fatal_and_a_worker_does_not_start_on_it(tmp_path: Path) -> None:
    with redis_with({}, tmp_path / "a") as master:
        of = port_of(master)
        with redis_with({"replicaof": f"127.0.0.1 {of}"}, tmp_path / "b") as url:
            with redis_server.connect(url) as client:
                (complaint,) = redis_server.complaints(client)
            assert complaint.fatal
            assert complaint.text.startswith(f"it is a replica of 127.0.0.1:{of}, and takes no writes")
            with dialer(url, tmp_path, "worker") as processes:
                assert processes._running["worker"].wait(PATIENCE_S) == 1
            log = (tmp_path / "worker.log").read_text()
            assert "CRITICAL worker.store.redis_server Redis: it is a replica" in log
            assert "Traceback" not in log


# --- how it is reached ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h", "redis://"),
        ("sentinel://h:26379/0", "?master=NAME"),
        ("sentinel:///0?master=m", "?master=NAME"),
        ("sentinel://h:port/0?master=m", "port"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_with_a_sentence(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL: .*\.env\.example shows its four forms$") as refused:
        redis_server.connect(url)
    assert words in str(refused.value)


def test_celery_is_told_the_same_login_database_and_certificate() -> None:
    plain = redis_server.broker("redis://u:p%2F@[::1]:1/2?socket_timeout=9")
    assert (plain.url, plain.tls) == ("redis://u:p%2F@[::1]:1/2", None)
    secret = redis_server.broker("rediss://h?db=3&ssl_ca_certs=/ca.pem")
    assert (secret.url, secret.tls) == ("redis://h:6379/3", {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem"})


def test_an_encrypted_store_works_from_end_to_end(
    tmp_path: Path, reminder: Campaign, authority: tuple[trustme.CA, Path]
) -> None:
    with redis_with({}, tmp_path / "redis") as plain, ExitStack() as stack:
        port = stack.enter_context(tls_in_front_of(port_of(plain), authority[0]))
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority[1]}"
        store = Store.at(url)
        stack.callback(store._redis.close)
        with dialer(url, tmp_path, "worker", "beat") as processes:
            contact_id = enlist(store, reminder, 100)
            until(lambda: was_dialed(store, contact_id))
            processes.check()


def test_a_certificate_of_another_authority_is_refused_with_a_sentence(
    tmp_path: Path, authority: tuple[trustme.CA, Path]
) -> None:
    with redis_with({}, tmp_path) as plain, tls_in_front_of(port_of(plain), trustme.CA()) as port:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority[1]}"
        with pytest.raises(StoreError, match=r"cannot reach Redis: .*certificate verify failed"):
            Store.at(url).ping()
        celerys = redis_server.broker(url)
        with (
            kombu.Connection(celerys.url, ssl=celerys.tls) as connection,
            pytest.raises(kombu.exceptions.OperationalError, match="certificate verify failed"),
        ):
            connection.ensure_connection(max_retries=1)


@contextmanager
def sentinel_of(master: int, folder: Path, *lines: str) -> Iterator[int]:
    """A Sentinel whose own password is `watch`; yields its port."""
    port = free_port()
    folder.mkdir()
    settings = (f"port {port}", "requirepass watch", f"sentinel monitor ours 127.0.0.1 {master} 2", *lines)
    (folder / "sentinel.conf").write_text("\n".join(settings) + "\n")
    with running("sentinel.conf", "--sentinel", folder=folder):
        until(lambda: answers(f"redis://:watch@127.0.0.1:{port}"))
        yield port


def test_with_sentinels_a_dead_master_is_followed_to_the_next_without_a_restart(
    tmp_path: Path, reminder: Campaign
) -> None:
    password, (first, second) = "p:w/1", (free_port(), free_port())
    secret = {"requirepass": password, "masterauth": password, "repl-diskless-sync-delay": "0"}
    watch = (
        f"sentinel auth-pass ours {password}", "sentinel sentinel-pass watch",
        "sentinel down-after-milliseconds ours 4000", "sentinel failover-timeout ours 5000",
    )  # fmt: skip
    with ExitStack() as stack:
        master = stack.enter_context(ExitStack())
        master.enter_context(redis_with(secret, tmp_path / "first", first))
        stack.enter_context(redis_with({**secret, "replicaof": f"127.0.0.1 {first}"}, tmp_path / "second", second))
        ports = [stack.enter_context(sentinel_of(first, tmp_path / f"s{n}", *watch)) for n in range(3)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        url = f"sentinel://:{quote(password, safe='')}@{hosts}/0?master=ours&sentinel_password=watch"
        known = stack.enter_context(redis.Redis(port=ports[0], password="watch")).sentinel_masters
        until(lambda: known()["ours"]["num-slaves"] == 1 and known()["ours"]["num-other-sentinels"] == 2)

        store = Store.at(url)
        stack.callback(store._redis.close)
        processes = stack.enter_context(dialer(url, tmp_path, "worker", "beat"))
        before = enlist(store, reminder, 100)
        until(lambda: was_dialed(store, before))
        assert store._redis.wait(1, 300_000) == 1, "the replica has what the master was told"
        master.close()
        until(lambda: known()["ours"]["port"] == second)

        after = enlist(store, reminder, 101)
        assert was_dialed(store, before), "the second master knows what the first one was told"
        until(lambda: was_dialed(store, after))
        processes.check()


def test_sentinels_and_their_master_may_speak_tls(
    tmp_path: Path, reminder: Campaign, authority: tuple[trustme.CA, Path]
) -> None:
    with redis_with({}, tmp_path / "redis") as plain, ExitStack() as stack:
        master = stack.enter_context(tls_in_front_of(port_of(plain), authority[0]))
        patience = (
            "sentinel down-after-milliseconds ours 600000"  # this Sentinel speaks no TLS, so for it the master is dead
        )
        bare = stack.enter_context(sentinel_of(master, tmp_path / "sentinel", patience))
        port = stack.enter_context(tls_in_front_of(bare, authority[0]))
        url = f"sentinels://127.0.0.1:{port}/0?master=ours&sentinel_password=watch&ssl_ca_certs={authority[1]}"
        store = Store.at(url)
        stack.callback(store._redis.close)
        with dialer(url, tmp_path, "worker", "beat") as processes:
            contact_id = enlist(store, reminder, 100)
            until(lambda: was_dialed(store, contact_id))
            processes.check()


# --- when it is away --------------------------------------------------------------------------------------------------


def test_every_process_goes_on_by_itself_after_redis_was_away(tmp_path: Path, reminder: Campaign) -> None:
    port, healthz = free_port(), free_port()
    url = f"redis://127.0.0.1:{port}/0"

    def health() -> int:
        return httpx.get(f"http://127.0.0.1:{healthz}/healthz").status_code

    with dialer(url, tmp_path, "worker", "beat", "callbacks", port=healthz) as processes:
        wait_for_port(healthz, processes, 300)
        assert health() == 503, "they start without Redis, too"
        for name in ("worker", "callbacks"):
            until(lambda log=tmp_path / f"{name}.log": "Redis cannot be reached yet" in log.read_text())
        with Store.at(url)._redis as client:
            for number in (100, 101):
                with redis_with({"appendfsync": "everysec"}, tmp_path / "redis", port):
                    store = Store(client)
                    contact_id = enlist(store, reminder, number)
                    until(lambda store=store, contact_id=contact_id: was_dialed(store, contact_id))
                    assert health() == 200
                assert health() == 503
                time.sleep(8)
                processes.check()
    for name in ("worker", "callbacks"):
        log = (tmp_path / f"{name}.log").read_text()
        assert log.count("Redis: appendfsync is everysec") == 1, "it was examined once, when it was there"


def test_a_worker_outlives_a_redis_that_is_full_when_it_connects(tmp_path: Path, reminder: Campaign) -> None:
    with redis_with({}, tmp_path / "redis") as url, dialer(url, tmp_path, "worker", "beat") as processes:
        with redis.Redis.from_url(url) as client:
            store, log = Store.at(url), tmp_path / "worker.log"
            until(lambda: "ready." in log.read_text())
            client.config_set("maxmemory", "1")
            client.client_kill_filter(_type="normal", skipme=True)
            until(lambda: "OutOfMemoryError" in log.read_text())
            time.sleep(2)
            client.config_set("maxmemory", "0")
        contact_id = enlist(store, reminder, 100)
        until(lambda: was_dialed(store, contact_id))
        processes.check()
        store._redis.close()


def test_dialout_up_shows_in_its_terminal_what_is_wrong_with_redis(tmp_path: Path) -> None:
    with redis_with({"appendonly": "no"}, tmp_path / "redis") as url, (tmp_path / "terminal").open("w") as terminal:
        command = [sys.executable, "-m", "worker.cli", "up", "--port", str(free_port())]
        environment = os.environ | settings(url, tmp_path)
        up = subprocess.Popen(command, env=environment, stdout=terminal, stderr=terminal)
        shown = "Redis: appendonly is no: a restart forgets calls that were placed"
        try:
            until(lambda: (tmp_path / "terminal").read_text().count(shown) == 2)
        finally:
            up.terminate()
            assert up.wait(300) == 0
