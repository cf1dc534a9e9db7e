"""What answers instant queries as Prometheus does, with a value that a test sets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.support.listening import Quiet, listening


@dataclass
class Prometheus:
    """`value` None: an empty vector. `instead`: another body."""

    url: str
    value: float | None = None
    instead: object = None
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def prometheus() -> Iterator[Prometheus]:
    """Serve until the block ends."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            assert parts.path == "/api/v1/query"
            running.asked.append(parse_qs(parts.query)["query"][0])
            found = [] if running.value is None else [{"metric": {}, "value": [1769860800.0, str(running.value)]}]
            whole = {"status": "success", "data": {"resultType": "vector", "result": found}}
            body = json.dumps(whole if running.instead is None else running.instead).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as url:
        running = Prometheus(url)
        yield running
