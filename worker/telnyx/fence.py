"""The last fence before a POST: nothing of a dial leaves unless the fence was asked, and said yes.

The fence is asked at the HTTP client's last step before the first byte, when the connection is already established.
That step is a trace event of httpcore, which not every transport reports. So nothing depends on the event alone: a
transport that has never reported it is asked for before it gets the request, and no transport can read a dial's body,
which names the number to ring, before the fence has said yes.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx

_LAST_STEP: Final = ".send_request_headers.started"
"""The event before the first byte of a request, of HTTP/1.1 and of HTTP/2.

Source: https://www.encode.io/httpcore/extensions/#trace
"""

_ANSWERED: Final = ".receive_response_headers.complete"

_HANG_UP: Final = "/actions/hangup"


class Withheld(Exception):
    """Nothing was sent: the fence said no, or was not asked."""


class Fence:
    """The fence of one dial. It lets one body through, once."""

    def __init__(self, may_leave: Callable[[], bool]) -> None:
        self._may_leave = may_leave
        self._open = self.passed = False
        # By the monotonic clock (s).
        self.left_at: float | None = None  # when the last byte was written
        self.answered_at: float | None = None  # when the head of the answer was read

    def ask(self) -> None:
        """Ask whether the dial may leave now; raises Withheld if it may not, or if it has left before."""
        # A transport that sends its request again would place a second call.
        self._open = not self.passed and self._may_leave()
        if not self._open:
            raise Withheld

    def let_through(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a dial's body, once; raises Withheld if the fence says no."""
        if self.passed or not self._open:
            self.ask()
        self.passed = True
        yield from body
        self.left_at = time.monotonic()


class _FencedBody(httpx.SyncByteStream):
    def __init__(self, fence: Fence, body: Iterable[bytes]) -> None:
        self._fence, self._body = fence, body

    def __iter__(self) -> Iterator[bytes]:
        return self._fence.let_through(self._body)


class FencedClient(httpx.Client):
    """An HTTP client that sends a dial only through its fence. Safe to share between threads."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._of_this_thread = threading.local()
        self._reports_last_step = False

    @contextmanager
    def fence(self, may_leave: Callable[[], bool]) -> Iterator[Fence]:
        """Let this thread send one dial meanwhile, if `may_leave` says yes.

        `may_leave` may be asked more than once: the last answer before the body counts.
        """
        self._of_this_thread.fence = fence = Fence(may_leave)
        try:
            yield fence
        finally:
            self._of_this_thread.fence = None

    def send(self, request: httpx.Request, **how: Any) -> httpx.Response:
        """Send a request; raises Withheld if it could place a call and its fence did not let it through."""
        fence: Fence | None = getattr(self._of_this_thread, "fence", None)

        def note(event: str, _info: Mapping[str, Any]) -> None:
            if event.endswith(_LAST_STEP):
                self._reports_last_step = True
                if fence:
                    fence.ask()
            elif fence and event.endswith(_ANSWERED):
                fence.answered_at = time.monotonic()

        if fence is None:
            if request.method != "GET" and not request.url.path.endswith(_HANG_UP):
                raise Withheld
            request.extensions["trace"] = note
            return super().send(request, **how)
        if not self._reports_last_step:
            fence.ask()
        assert isinstance(request.stream, httpx.SyncByteStream)
        # A request of its own, for the given one holds its content beside the stream.
        fenced = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=_FencedBody(fence, request.stream),
            extensions={**request.extensions, "trace": note},
        )
        response = super().send(fenced, **how)
        if not fence.passed:
            response.close()
            raise Withheld
        return response
