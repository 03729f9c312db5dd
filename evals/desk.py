"""A desk that takes the bot's reports: as much of a dialer as an eval needs."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Self
from urllib.parse import urlsplit

from pydantic import ValidationError

from campaigns.call import REPORTS_PATH, Report


class ReportDesk:
    """Listens on a free port of this machine, from `with` to its end."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}
        self._arrived = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def report_url(self) -> str:
        """The URL for the bot's reports."""
        return f"http://127.0.0.1:{self._server.server_port}{REPORTS_PATH}"

    def report(self, attempt_id: str, *, within_s: float) -> Report | None:
        """Wait for the report of an attempt; None if it does not come within this time."""
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

        class ReportHandler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if urlsplit(self.path).path == REPORTS_PATH:
                    try:
                        take(Report.model_validate_json(body))
                    except ValidationError:
                        self.send_error(422)
                        return
                self.send_response(200)  # the bot's other messages need no answer here
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:  # type: ignore[override]
                pass

        return ReportHandler
