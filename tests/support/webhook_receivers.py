"""Where notices arrive: a webhook that fails as often as it is told to, and a mail server that takes everything."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.listening import Quiet, listening


@dataclass
class Webhook:
    """`failing`: how many requests to answer with 503 first."""

    url: str
    failing: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)


@contextlib.contextmanager
def webhook() -> Iterator[Webhook]:
    class Handler(Quiet):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if running.failing:
                running.failing -= 1
                self.send_response(503)
            else:
                running.got.append(body)
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with listening(Handler) as url:
        running = Webhook(f"{url}/hook")
        yield running


@dataclass
class Mailbox:
    port: int
    got: list[str] = field(default_factory=list)


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server as far as one message without authentication goes (RFC 5321)."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 here")
            while line := self.rfile.readline().decode().strip():
                word = line.split()[0].upper()
                if word == "DATA":
                    self._say("354 go on")
                    lines = []
                    while (row := self.rfile.readline().decode()) != ".\r\n":
                        lines.append(row)
                    running.got.append("".join(lines))
                self._say("221 bye" if word == "QUIT" else "250 fine")
                if word == "QUIT":
                    return

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        running = Mailbox(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield running
        server.shutdown()
