"""A stand-in for the Hugging Face hub on loopback: one data set repository of a few files."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

REPO = "user/repo"
_COMMIT = "0" * 40


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: ClassVar[Mapping[str, bytes]]

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._give(with_body=False)

    def do_GET(self) -> None:
        self._give(with_body=True)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = {path.strip("/") for path in body["paths"]}
        self._json([entry for entry in self._entries() if entry["path"] in wanted])

    def _give(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        api = f"/api/datasets/{REPO}"
        if path in (api, f"{api}/revision/main"):
            self._json({"id": REPO, "sha": _COMMIT, "siblings": [], "tags": []})
        elif path.startswith(f"{api}/tree/main"):
            folder = path.removeprefix(f"{api}/tree/main").strip("/")
            entries = self._entries()
            self._json(
                [x for x in entries if x["path"].startswith(f"{folder}/" if folder else "")]
            )
        elif (name := path.removeprefix(f"/datasets/{REPO}/resolve/main/")) in self.files:
            self._file(self.files[name], with_body=with_body)
        else:
            self._json({"error": "not found"}, 404)

    def _entries(self) -> list[dict[str, Any]]:
        folders = {name.rpartition("/")[0] for name in self.files if "/" in name}
        entries = [{"type": "directory", "path": name, "oid": "1" * 40} for name in folders]
        return entries + [
            {
                "type": "file",
                "path": name,
                "size": len(content),
                "oid": sha1(content, usedforsecurity=False).hexdigest(),
            }
            for name, content in self.files.items()
        ]

    def _json(self, value: object, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", _COMMIT)
        if status == 404:
            is_other = f"/datasets/{REPO}" not in self.path
            self.send_header("X-Error-Code", "RepoNotFound" if is_other else "EntryNotFound")
        self.end_headers()
        self.wfile.write(content)

    def _file(self, content: bytes, *, with_body: bool) -> None:
        wanted = self.headers.get("Range", "")
        start, _, stop = wanted.removeprefix("bytes=").partition("-")
        first, last = int(start or 0), min(int(stop or len(content)), len(content) - 1)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(last + 1 - first))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if with_body:
            self.wfile.write(content[first : last + 1])


@contextmanager
def hub(files: Mapping[str, bytes]) -> Iterator[str]:
    """Serve the repository `user/repo`; yields the address for `HF_ENDPOINT`.

    Args:
        files: Path in the repository to content.
    """
    handler = type("Handler", (_Handler,), {"files": files})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
