"""As much of a dialer as an eval needs: it takes what the bot tells during a call, and its report at the end."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Self
from urllib.parse import urlsplit

from pydantic import ValidationError

from campaigns.call import Report

_PATH = "/reports"


class Dialer:
    """Listens on a free port of this machine while it is open."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}
        self._arrived = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def report_url(self) -> str:
        """Where the bot's report goes."""
        return f"http://127.0.0.1:{self._server.server_port}{_PATH}"

    def report(self, attempt_id: str, *, within_s: float) -> Report | None:
        """Wait for the report of an attempt; None if it does not come."""
        deadline = time.monotonic() + within_s
        with self._arrived:
            self._arrived.wait_for(lambda: attempt_id in self._reports, timeout=deadline - time.monotonic())
            return self._reports.get(attempt_id)

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, report: Report) -> None:
        with self._arrived:
            self._reports[report.attempt_id] = report
            self._arrived.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Desk(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if urlsplit(self.path).path == _PATH:
                    try:
                        take(Report.model_validate_json(body))
                    except ValidationError:
                        self.send_error(422)
                        return
                self.send_response(200)  # whatever else it tells or asks: nothing is known here
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:  # type: ignore[override]
                pass

        return Desk
