"""A real HTTP server of OpenAI's `/embeddings` protocol on 127.0.0.1, with faults that can be queued.

The vectors come from a hashing embedder, so a test knows what must come back.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from vecrollback.embedders import Embedder, open_embedder

KEY = "sk-test-0123456789abcdef"


@dataclass(frozen=True)
class Fault:
    """What to do with one request instead of answering it well."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    delay: float = 0.0
    change: Callable[[dict[str, Any]], None] = lambda answer: None


def error(status: int, message: str = "no", code: str = "", **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, headers=named, body={"error": {"message": message, "code": code}})


def changed(change: Callable[[dict[str, Any]], None]) -> Fault:
    return Fault(change=change)


class OpenAIServer:
    """Use as a context manager. `faults` are consumed one per request; `requests` holds the decoded bodies.

    `refusal` says what to do with a request by its texts, as a service with limits does; `port`: where one stopped.
    `pages`: what is told of the model, by path; `looks`: who asked.
    """

    def __init__(
        self, dimension: int = 64, *, key: str | None = None, usage: bool = True, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self.faults: deque[Fault] = deque()
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.key = key
        self.usage = usage
        self.model: Embedder = open_embedder(f"hash:{dimension}?seed=5")
        self.refusal: Callable[[list[str]], Fault | None] = lambda texts: None
        self.pages: dict[str, Any] = {}
        self.looks: list[str] = []
        self.connections: set[socket.socket] = set()
        self.host = host
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    def spec(self, model: str = "m", **arguments: object) -> str:
        """The embedder's spec. A query waits 20 s, since a busy machine may stand still for the second that the product
        waits; `query_timeout=None` leaves that second as it is.
        """
        settings = {"query_timeout": 20} | arguments
        given = "".join(f"&{name}={value}" for name, value in settings.items() if value is not None)
        return f"openai:{model}?base_url={self.url}{given}"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        texts = request["input"]
        vectors = self.model.embed_documents(texts)[:, : request.get("dimensions")]
        as_text = request.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": i,
                "embedding": base64.b64encode(v.astype("<f4").tobytes()).decode() if as_text else v.tolist(),
            }
            for i, v in enumerate(vectors)
        ]
        answer: dict[str, Any] = {"object": "list", "data": data, "model": request["model"]}
        if self.usage:
            tokens = self.model.count_tokens(texts)
            answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return answer

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):  # else those that are kept alive are served on
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()


def _handler(server: OpenAIServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or what follows the headers waits 40 ms for their acknowledgement

        def setup(self) -> None:
            super().setup()
            server.connections.add(self.connection)

        def finish(self) -> None:
            server.connections.discard(self.connection)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                super().finish()

        def do_GET(self) -> None:
            server.looks.append(self.path)
            page = server.pages.get(self.path)
            self._send(404 if page is None else 200, page or {"detail": "Not Found"}, {})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append(request)
            given = self.headers.get("Authorization")
            server.authorizations.append(given)
            if isinstance(request["input"], str):  # one text may be sent so
                request["input"] = [request["input"]]
            fault = server.faults.popleft() if server.faults else server.refusal(request["input"]) or Fault()
            time.sleep(fault.delay)
            if server.key is not None and given != f"Bearer {server.key}":
                # Some real services repeat the key they were given.
                self._send(401, {"error": {"message": f"Incorrect API key provided: {given}"}}, {})
            elif self.path != "/v1/embeddings":
                self._send(404, {"detail": "Not Found"}, {})
            elif fault.status != 200:
                self._send(fault.status, fault.body or {}, fault.headers)
            else:
                answer = server.answer(request)
                fault.change(answer)
                self._send(200, answer, fault.headers)

        def _send(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
            content = json.dumps(body).encode()
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up waiting, as a test wanted

        def log_message(self, *_: object) -> None:
            pass

    return Handler
