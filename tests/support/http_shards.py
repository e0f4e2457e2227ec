"""A real HTTP server on loopback that gives files in ranges, as object stores do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar


@dataclass
class FileServer:
    """What is served, and what was asked for.

    Attributes:
        folder: Its files are served by name.
        url: Where.
        requests: Method, path and Range header of every request.
        cut: So many answers from now on break off in the middle.
        gone_after: A file of this name is gone once its answer broke off.
    """

    folder: Path
    url: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    cut: int = 0
    gone_after: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    about: ClassVar[FileServer]

    def do_HEAD(self) -> None:
        self._give(with_body=False)

    def do_GET(self) -> None:
        self._give(with_body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _give(self, *, with_body: bool) -> None:
        wanted = self.headers.get("Range", "")
        self.about.requests.append((self.command, self.path, wanted))
        file = self.about.folder / self.path.removeprefix("/")
        if not file.is_file() or (file.name == self.about.gone_after and not self.about.cut):
            self.send_error(404)
            return
        content = file.read_bytes()
        first, last = 0, len(content) - 1
        if wanted:
            start, _, stop = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(stop or last), last)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{file.stat().st_mtime_ns}"')
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if not with_body:
            return
        body = content[first : last + 1]
        if self.about.cut and self.about.gone_after in ("", file.name):
            self.about.cut -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)


@contextmanager
def served(folder: Path) -> Iterator[FileServer]:
    """Serve the files of a folder on a free port of 127.0.0.1."""
    about = FileServer(folder)
    handler = type("Handler", (_Handler,), {"about": about})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    about.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield about
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
