from collections.abc import Iterator

import httpx
import pytest
from callbacks_server import Server, serving

from worker.machine.embedded import EmbeddedRedis


@pytest.fixture(scope="module")
def callbacks_server(server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(server.url, tmp_path_factory.mktemp("callbacks")) as serves:
        yield serves


@pytest.fixture(scope="module")
def callbacks(callbacks_server: Server) -> httpx.Client:
    return callbacks_server.client
