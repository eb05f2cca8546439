"""An endpoint on this machine that answers as OpenAI's does, or in any of the ways in which endpoints fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One response: status, body and headers; how much of the body is sent before the connection is cut; a pause."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    wait: float = 0.0


def said(text: str, **changes: Any) -> Reply:
    """A proper answer; tokens are counted in words."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 7, "completion_tokens": len(text.split())}
    found = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    return Reply(body=json.dumps({**found, **changes}).encode(), headers={"Content-Type": "application/json"})


def failed(status: int, message: str = "something", code: str = "") -> Reply:
    """An error in OpenAI's form, to be tried again at once."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return Reply(status, body, {"Retry-After-Ms": "1"})


Behaviour = Callable[[dict[str, Any]], Reply]


def echo(body: dict[str, Any]) -> Reply:
    """Answers with the last message in capitals."""
    return said(body["messages"][-1]["content"].upper())


class StandIn:
    """The server. ``replies`` are sent first, in order; then ``behaviour`` answers. ``bodies`` are what was asked."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = echo
        self.replies: list[Reply] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reply_to(self, path: str, headers: Mapping[str, str], content: bytes) -> Reply:
        body = json.loads(content)
        with self._lock:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            if self.replies:
                return self.replies.pop(0)
        return self.behaviour(body) if path == "/v1/chat/completions" else failed(404, "no such page")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                with server._lock:
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                reply = server.reply_to(self.path, self.headers, content)
                try:
                    self.send(reply)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with server._lock:
                        server.at_once -= 1

            def send(self, reply: Reply) -> None:
                time.sleep(reply.wait)
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(reply.body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for start in range(0, len(reply.body), 64):
                    if reply.cut_after is not None and start >= reply.cut_after:
                        self.close_connection = True
                        return
                    self.wfile.write(reply.body[start : start + 64])
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                """Nothing on the terminal."""

        return Handler
