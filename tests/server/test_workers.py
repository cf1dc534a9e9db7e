"""What several workers, a lost catalog and a tracing backend see.

Covers server.tracing.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import postgres
from tests.support.http_server import V1, V2, build, fresh, serving
from tests.support.waiting import wait_for


def test_every_worker_counts_into_the_same_metrics(own_store: Path) -> None:
    with serving(own_store, "--workers", "2") as server:
        wait_for("both workers", lambda: len(server.searchers()) == 2)
        for _ in range(20):
            fresh(server.url, "POST", "/v1/search", json={"query": "apples"})
        pages = {fresh(server.url, "GET", "/metrics").text for _ in range(8)}
        for page in pages:
            assert 'vecrollback_queries_total{pair="v2"} 20.0' in page.splitlines()
            assert "vecrollback_searchers 2.0" in page.splitlines()


def test_a_worker_that_loses_the_catalog_goes_on_and_says_so(tmp_path: Path) -> None:
    if not postgres.available():
        pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
    with postgres.running() as database:
        url = database.url()
        store = build(tmp_path / "store", V1, V2, catalog=url)
        with serving(store, "--catalog", url) as server:
            assert server.post("/v1/search", {"query": "apples"}).json()["current"]
            database.kill()
            wait_for("the loss", lambda: server.get("/readyz").json()["current"] is False)
            ready = server.get("/readyz")
            assert ready.status_code == 200
            assert "catalog" in ready.json()["reason"]
            found = server.post("/v1/search", {"query": "apples"})
            assert (found.status_code, found.json()["current"], found.json()["pair"]) == (200, False, "v2")
            refused = server.post("/v1/rollback", {"reason": "x"})
            assert refused.status_code == 503
            assert refused.json()["error"]["type"] == "CatalogUnavailableError"
            assert str(tmp_path) not in refused.text
            assert database.folder.name not in refused.text
            assert int(refused.headers["Retry-After"]) > 0
            database.start()
            wait_for("the catalog", lambda: server.get("/readyz").json()["current"])
            assert server.post("/v1/rollback", {"reason": "x"}).json()["searchers"]["missing"] == []
            assert server.post("/v1/search", {"query": "apples"}).json()["pair"] == "v1"
            assert "vecrollback_outdated_answers_total 1.0" in server.get("/metrics").text.splitlines()


class _Collector(BaseHTTPRequestHandler):
    """Takes in what an exporter sends."""

    taken: list[bytes] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def test_spans_go_where_the_standard_variables_say(own_store: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'vecrollback[otel]'")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    _Collector.taken.clear()
    with HTTPServer(("127.0.0.1", 0), _Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        env |= {"OTEL_SERVICE_NAME": "shop-search"}
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        with serving(own_store, "--otel", env=env) as server:
            server.post("/v1/search", {"query": "apples"}, headers={"traceparent": parent})
            server.post("/v1/documents", {"documents": [{"id": "d1", "text": "medlars"}]})
            server.post("/v1/rollback", {"reason": "worse", "wait": True}, headers={"traceparent": parent})
            for name in ("POST /v1/search", "vecrollback.check", "POST /v1/rollback"):
                wait_for(name, lambda name=name: _spans(ExportTraceServiceRequest, name))
        collector.shutdown()
        thread.join()
    [span] = _spans(ExportTraceServiceRequest, "POST /v1/search")
    facts = {fact.key: fact.value.string_value or fact.value.int_value for fact in span.attributes}
    assert facts["http.route"] == "/v1/search"
    assert facts["http.request.method"] == "POST"
    assert facts["http.response.status_code"] == 200
    assert (facts["vecrollback.pair"], facts["vecrollback.epoch"], facts["vecrollback.queries"]) == ("v2", 2, 1)
    assert span.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    requests = [ExportTraceServiceRequest.FromString(body) for body in _Collector.taken]
    resources = [one.resource.attributes for request in requests for one in request.resource_spans]
    assert {f.value.string_value for one in resources for f in one if f.key == "service.name"} == {"shop-search"}
    told = {name: _spans(ExportTraceServiceRequest, f"vecrollback.{name}") for name in ("embed", "search", "switch")}
    [below] = [one for one in told["search"] if one.parent_span_id == span.span_id]
    assert _facts_of(below) | {"vecrollback.k": 10} == {
        "vecrollback.pair": "v2",
        "vecrollback.epoch": 2,
        "vecrollback.queries": 1,
        "vecrollback.k": 10,
    }
    assert [one for one in told["embed"] if one.parent_span_id == span.span_id]
    assert [one for one in told["embed"] if "vecrollback.documents" in _facts_of(one)]
    [switch] = told["switch"]
    assert switch.trace_id == span.trace_id
    assert (_facts_of(switch)["vecrollback.kind"], _facts_of(switch)["vecrollback.target"]) == ("rollback", "v1@1")
    check = _spans(ExportTraceServiceRequest, "vecrollback.check")[-1]
    assert _facts_of(check)["vecrollback.verdict"] == "pass"
    assert b"medlars" not in b"".join(_Collector.taken)


def _facts_of(span: Any) -> dict[str, Any]:
    return {fact.key: fact.value.string_value or fact.value.int_value for fact in span.attributes}


def _spans(kind: type, name: str) -> list[object]:
    requests = [kind.FromString(body) for body in _Collector.taken]
    spans = [s for r in requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]
    return [span for span in spans if span.name == name]


def test_logs_are_one_json_object_a_line(own_store: Path) -> None:
    with serving(own_store, "--log-reads") as server:
        request = server.post("/v1/search", {"query": "private words"}).headers["X-Request-Id"]
        httpx.get(f"{server.url}/v1/history?limit=0")
        wait_for("the lines", lambda: any(entry.get("status") == 422 for entry in server.logged()))
        lines = server.logged()
    [line] = [entry for entry in lines if entry.get("request_id") == request]
    assert (line["method"], line["path"], line["status"], line["actor"]) == ("POST", "/v1/search", 200, "keeper")
    assert any(entry.get("error") == "UsageError" and entry["status"] == 422 for entry in lines)
    assert "private words" not in json.dumps(lines)
