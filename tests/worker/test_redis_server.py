"""Against real servers: those that deserve a complaint, behind TLS, behind Sentinels, away for a while, and full."""

import asyncio
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import redis
import trustme

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, zones_of
from worker import redis_server
from worker.embedded import EmbeddedRedis, server_binary
from worker.processes import Processes, free_port, wait_for_port
from worker.settings import SettingsError
from worker.store import Store, StoreError

PATIENCE_S = 60.0


@contextmanager
def running(*options: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server of this folder, with these options."""
    folder.mkdir(exist_ok=True)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([server_binary(), *options], cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def redis_with(options: Mapping[str, str], folder: Path, port: int = 0) -> Iterator[str]:
    """A server as the embedded one, but for these options; yields its URL."""
    port = port or free_port()
    ours = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": "", "port": str(port)}
    words = [word for name, value in (ours | options).items() for word in (f"--{name}", value)]
    with running(*words, folder=folder):
        url = f"redis://127.0.0.1:{port}/0"
        until(lambda: answers(url))
        yield url


def answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False


def until(true: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


@contextmanager
def tls_in_front_of(port: int, authority: trustme.CA) -> Iterator[int]:
    """What stunnel would be: a port that speaks TLS, and hands everything on to a server that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    loop, tasks = asyncio.new_event_loop(), set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        tasks.add(asyncio.current_task())
        await asyncio.gather(pump(reader, forth), pump(back, writer))

    async def stop() -> None:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


@contextmanager
def dialer(url: str, folder: Path, *services: str, port: int = 0) -> Iterator[Processes]:
    """Our processes, and a carrier whose port is dead."""
    environment = {
        "REDIS_URL": url, "DIALOUT_DATA": str(folder), "TELNYX_API_KEY": "k", "TELNYX_TEXML_APP_ID": "1",
        "TELNYX_BASE_URL": "http://127.0.0.1:9/v2", "CALLER_IDS": "+12125550100", "PUBLIC_URL": "https://x",
        "BRIEF_SECRET": "s", "STREAM_URL": "ws://x",
    }  # fmt: skip
    with Processes(folder) as processes:
        commands = {
            "worker": ["celery", "-A", "worker", "worker", "--loglevel", "INFO"],
            "beat": ["celery", "-A", "worker", "beat"],
            "callbacks": ["uvicorn", "worker.callbacks:app", "--port", str(port)],
        }
        for service in services:
            processes.start(service, commands[service], environment)
        yield processes


def enlist(store: Store, campaign: Campaign, number: int) -> str:
    """Enlist one person; returns their id."""
    contact = Contact(f"+1212555{number:04d}", {"name": "Ada", "day": "d", "time": "t"}, 2)
    store.define(campaign)
    store.enlist(campaign, [(contact, zones_of(contact))], store.now())
    return store.contact_id(campaign.name, contact.phone)


def was_dialed(store: Store, contact_id: str) -> bool:
    try:
        return any(entry["event"] == "dialed" for entry in store.journal(contact_id))
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
def test_a_server_that_may_forget_is_complained_about_in_one_sentence(
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
def test_what_a_provider_forbids_to_ask_is_said(command: str, sentence: str, tmp_path: Path) -> None:
    with redis_with({}, tmp_path) as url:
        with redis.Redis.from_url(url) as client:
            client.execute_command("ACL", "SETUSER", "default", f"-{command}")
        (only,) = told(url)
        assert only.startswith(sentence)


class Old(socketserver.StreamRequestHandler):
    """Says that it is Redis 5: the one server that cannot be had any more."""

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
        of = master.removesuffix("/0").rpartition(":")[2]
        with redis_with({"replicaof": f"127.0.0.1 {of}"}, tmp_path / "b") as url:
            with redis_server.connect(url) as client:
                (complaint,) = redis_server.complaints(client)
            assert complaint.fatal
            assert complaint.text.startswith(f"it is a replica of 127.0.0.1:{of}, and takes no writes")
            with dialer(url, tmp_path, "worker") as processes:
                assert processes._running["worker"].wait(PATIENCE_S) == 1
            log = (tmp_path / "worker.log").read_text()
            assert "CRITICAL worker.redis_server Redis: it is a replica" in log
            assert "Traceback" not in log
