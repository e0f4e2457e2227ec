"""A local HTTP server that fails as told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FlakyServer(ThreadingHTTPServer):
    """Serves files of a folder, with ranges; `failures` are the status codes to give first."""

    daemon_threads = True

    def __init__(self, folder: Path, failures: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.failures = failures

    @property
    def url(self) -> str:
        return f"http://user:s3cret@127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FlakyServer

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def _answer(self, *, with_body: bool) -> None:
        if with_body and self.server.failures:
            self.send_response(self.server.failures.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = (self.server.folder / self.path.partition("?")[0].strip("/")).read_bytes()
        start, stop = 0, len(content)
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else len(content)
            self.send_response(206)
            shown = f"bytes {start}-{min(stop, len(content)) - 1}/{len(content)}"
            self.send_header("Content-Range", shown)
        else:
            self.send_response(200)
        body = content[start:stop]
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@contextmanager
def flaky_server(folder: Path, *failures: int) -> Iterator[FlakyServer]:
    """Serve a folder; the first answers with a body are `failures`, status codes."""
    with FlakyServer(folder, list(failures)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
