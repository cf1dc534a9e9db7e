"""What a model cannot embed is its asker's alone; a service that is down costs nobody long."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.http_server import Server, fresh, serving
from tests.support.openai_server import Fault, OpenAIServer, error
from tests.support.waiting import wait_for
from vecrollback import Document, connect

ZERO, LONG, REFUSED, ODD = "silence", "very " * 600, "forbidden words", "unreadable"
BAD = (ZERO, LONG, REFUSED, ODD)
TEXTS = {f"d{n}": f"the boat number {n} leaves the harbour at {n % 24} o'clock" for n in range(60)}
POLICY = """
[policy]
interval = '200ms'
bake = '100ms'
[[policy.metric]]
source = 'error_rate'
"""


class Particular(OpenAIServer):
    """Refuses a whole request for one of its texts, in three ways, and gives one text no vector."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.refusal = self._refused

    def _refused(self, texts: list[str]) -> Fault | None:
        if any(len(text.split()) > 512 for text in texts):
            return error(413, "`inputs` must have less than 512 tokens. Given: 600")
        if REFUSED in texts:
            return error(400, "invalid request")
        return error(422, "Tokenization error") if ODD in texts else None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = super().answer(request)
        for text, item in zip(request["input"], answer["data"], strict=True):
            if text == ZERO:
                item["embedding"] = np.zeros(len(item["embedding"])).tolist()
        return answer


@pytest.fixture
def service() -> Iterator[Particular]:
    with Particular() as running:
        yield running


@pytest.fixture
def served(tmp_path: Path, service: Particular) -> Iterator[Server]:
    """A store of two pairs of the service, with a policy that watches errors; limits are wide for a busy machine."""
    root = tmp_path / "store"
    with connect(root, create=True, actor="builder") as store:
        store.upsert(Document(id_, text) for id_, text in TEXTS.items())
        store.promote(store.reembed("hash:64?seed=1", name="v1").wait(), reason="first")
        store.promote(store.reembed(service.spec(query_timeout=20), name="v2").wait(), reason="better")
    (root / "vecrollback.toml").write_text(POLICY)
    with serving(root) as server:
        yield server


def errors_of(server: Server) -> int:
    return sum(span["errors"] for span in server.get("/v1/series?seconds=600").json()["spans"])


def test_two_clients_with_every_bad_query_take_no_answer_from_anybody(served: Server, service: Particular) -> None:
    statuses: dict[str, Counter[int]] = {"good": Counter(), "bad": Counter()}
    wrong: list[object] = []
    stop = threading.Event()

    def ask_badly() -> None:
        with served.client() as http:
            while not stop.is_set():
                for query in BAD:
                    answer = http.post("/v1/search", json={"query": query})
                    statuses["bad"][answer.status_code] += 1
                    if answer.json()["error"]["type"] != "BadQueryError":
                        wrong.append(answer.json())
                broken = json.dumps({"query": "half \ud800 a pair"}).encode()  # escaped: a lone surrogate
                answer = http.post("/v1/search", content=broken, headers={"Content-Type": "application/json"})
                statuses["bad"][answer.status_code] += 1

    def ask_well(numbers: range) -> None:
        with served.client() as http:
            for n in numbers:
                answer = http.post("/v1/search", json={"query": TEXTS[f"d{n % 60}"], "k": 1})
                statuses["good"][answer.status_code] += 1
                if answer.status_code != 200 or answer.json()["hits"][0]["id"] != f"d{n % 60}":
                    wrong.append(answer.text)

    bad = [threading.Thread(target=ask_badly) for _ in range(2)]
    good = [threading.Thread(target=ask_well, args=(range(n * 50, n * 50 + 50),)) for n in range(4)]
    for thread in (*bad, *good):
        thread.start()
    for thread in good:
        thread.join()
    stop.set()
    for thread in bad:
        thread.join()
    assert wrong == []
    assert statuses["good"] == {200: 200}
    assert set(statuses["bad"]) <= {400, 422}
    assert sum(statuses["bad"].values()) > 20
    assert errors_of(served) == 0
    assert any(len(request["input"]) > 1 for request in service.requests), "queries were answered together"
    status = served.get("/v1/status").json()
    assert status["alias"]["live"]["pair"] == "v2", "no policy moved"


def test_a_service_that_refuses_everything_is_no_query_of_anybody(served: Server, service: Particular) -> None:
    service.refusal = lambda texts: error(400, "bad request")
    answer = served.post("/v1/search", {"query": TEXTS["d1"]})
    assert answer.status_code == 503
    assert errors_of(served) == 1


def test_queries_end_soon_while_the_service_is_down_and_are_answered_soon_after_its_return(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Particular() as service:
        port = service.port
        with connect(root, create=True, actor="builder") as store:
            store.upsert(Document(id_, text) for id_, text in TEXTS.items())
            store.promote(store.reembed(service.spec(), name="v1").wait(), reason="first")
        running = serving(root)
        server = running.__enter__()
    try:
        for _ in range(6):
            started = time.monotonic()
            assert fresh(server.url, "POST", "/v1/search", json={"query": "boat"}).status_code == 503
            assert time.monotonic() - started < 5
        said = [
            line["message"] for line in server.logged() if "does not answer queries since" in line.get("message", "")
        ]
        assert any(f"m at http://127.0.0.1:{port}/v1" in one and "no connection" in one for one in said), said
        with Particular(port=port) as service:
            asked = lambda: fresh(server.url, "POST", "/v1/search", json={"query": "boat"}).status_code == 200  # noqa: E731
            wait_for("an answer after the service's return", asked, 5)
    finally:
        running.__exit__(None, None, None)
