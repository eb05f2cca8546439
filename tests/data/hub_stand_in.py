"""A hub on this machine: just as much of its API as ``datasets`` asks for, and a record of requests."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class StandIn(ThreadingHTTPServer):
    """Serves directories as data sets by their names ("owner/set"); ``sent`` counts the bytes of each set's files."""

    def __init__(self, sets: Mapping[str, Path]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.sets, self.sent = sets, Counter[str]()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub_stand_in(sets: Mapping[str, Path]) -> Iterator[StandIn]:
    server = StandIn(sets)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlparse(self.path).path)
        kind, owner, name, *rest = path.removeprefix("/api").strip("/").split("/")
        directory = self.server.sets.get(f"{owner}/{name}")
        if kind != "datasets" or directory is None:
            self._say({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif rest[:1] == ["resolve"]:
            self._file(f"{owner}/{name}", directory.joinpath(*rest[2:]))
        elif rest[:1] == ["tree"]:
            self._tree(directory, directory.joinpath(*rest[2:]))
        else:
            self._say(self._description(f"{owner}/{name}", directory))

    def _description(self, name: str, directory: Path) -> dict[str, Any]:
        files = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
        siblings = [{"rfilename": path} for path in files]
        return {"id": name, "sha": COMMIT, "private": False, "gated": False, "tags": [], "siblings": siblings}

    def _tree(self, directory: Path, under: Path) -> None:
        if under.is_dir():
            self._say([self._entry(path, directory) for path in sorted(under.iterdir())])
        else:
            self._say({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})

    def _entry(self, path: Path, directory: Path) -> dict[str, Any]:
        kind, size = ("directory", 0) if path.is_dir() else ("file", path.stat().st_size)
        return {"type": kind, "path": path.relative_to(directory).as_posix(), "size": size, "oid": "0" * 40}

    def _file(self, name: str, path: Path) -> None:
        if not path.is_file():
            self._say({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        data, status, headers = path.read_bytes(), 200, {"ETag": f'"{path.name}"', "Accept-Ranges": "bytes"}
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
            data, status = data[int(first) : end + 1], 206
        self.server.sent[name] += len(data) * (self.command == "GET")
        self._send(data, status, headers)

    def _say(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
