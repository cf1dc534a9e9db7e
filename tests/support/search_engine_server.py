"""A server of Elasticsearch's requests that the connector makes, on loopback: a mapping, `_search`, `_mget`, `_cat`.

It stands in for a server that does not install from a package index. Its answers have the shape of version 8's, and it
refuses what that would refuse: an unknown index, a search without a sort in pages, more than 10,000 hits.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_MOST = 10_000


class SearchEngine:
    """Indexes by name: `(mapping, documents by id)`. `key`: what requests must carry. `requests`: what was asked."""

    def __init__(self, indexes: dict[str, tuple[dict[str, Any], dict[str, Any]]], key: str = "") -> None:
        self.indexes, self.key, self.requests = indexes, key, list[str]()
        self.url = ""

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        if path.startswith("/_cat/indices"):
            return 200, [{"index": name, "docs.count": str(len(rows))} for name, (_, rows) in self.indexes.items()]
        _, name, action = [*path.split("/", 2), ""][:3]
        if name not in self.indexes:
            return 404, {"error": {"type": "index_not_found_exception"}, "status": 404}
        mapping, rows = self.indexes[name]
        if action == "_mapping":
            return 200, {name: {"mappings": {"properties": mapping}}}
        if action == "_mget":
            return 200, {"docs": [self._one(name, rows, id_) for id_ in body["ids"]]}
        if action == "_search":
            return self._search(name, rows, body)
        return 400, {"error": {"type": "illegal_argument_exception"}, "status": 400}

    def _search(self, name: str, rows: dict[str, Any], body: Any) -> tuple[int, Any]:
        if body.get("size", 10) > _MOST or ("search_after" in body and not body.get("sort")):
            return 400, {"error": {"type": "illegal_argument_exception"}, "status": 400}
        ids = sorted(rows)
        if after := body.get("search_after"):
            ids = [id_ for id_ in ids if id_ > after[0]]
        hits = [{"_index": name, "_id": id_, "_score": None, "sort": [id_]} for id_ in ids[: body["size"]]]
        return 200, {"took": 1, "timed_out": False, "hits": {"total": {"value": len(rows)}, "hits": hits}}

    @staticmethod
    def _one(name: str, rows: dict[str, Any], id_: str) -> dict[str, Any]:
        if id_ not in rows:
            return {"_index": name, "_id": id_, "found": False}
        return {"_index": name, "_id": id_, "found": True, "_source": rows[id_]}


@contextmanager
def running(engine: SearchEngine) -> Iterator[SearchEngine]:
    """Serve it until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            engine.requests.append(f"{self.command} {self.path}")
            status, answer = 401, {"error": "unauthorized"}
            if not engine.key or self.headers.get("Authorization") == f"ApiKey {engine.key}":
                status, answer = engine.answer(self.path, json.loads(body or b"null"))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    engine.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
