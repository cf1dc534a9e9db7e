"""What callers see as an error is counted as one, whatever broke.

Covers server.service.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_server import serving
from vecrollback import connect
from vecrollback.errors import (
    EmbedderSpecError,
    EmbeddingError,
    FingerprintMismatchError,
    RerankerError,
    UsageError,
)
from vecrollback.records import WatchCall
from vecrollback.server.service import StoreService
from vecrollback.server.settings import ServerSettings
from vecrollback.serving.answering import search_options
from vecrollback.serving.traffic_log import TrafficLog

OPTIONS = search_options(3, None, None)


@pytest.fixture
def service(own_store: Path) -> Iterator[StoreService]:
    opened = StoreService(connect(own_store), ServerSettings.loopback())
    yield opened
    opened.close()


def watched(service: StoreService, monkeypatch: pytest.MonkeyPatch) -> TrafficLog:
    """The service's traffic as a watch elsewhere asks for it, of which nothing is sent away."""
    traffic = TrafficLog(service.store.resources.catalog, "a", "live")
    monkeypatch.setattr(traffic, "send", lambda: None)
    traffic._call = WatchCall("elsewhere/1", 60, 20)
    monkeypatch.setattr(service.searcher, "traffic", traffic)
    return traffic


def counted(service: StoreService) -> tuple[int, int]:
    """Answers and errors of the last seconds."""
    spans = service.series.spans(60, step=60)
    return sum(span.answers for span in spans), sum(span.errors for span in spans)


@pytest.mark.parametrize(
    ("error", "errors"),
    [
        (OSError("Not found: vectors.lance"), 1),
        (RuntimeError("CUDA error"), 1),
        (EmbeddingError("down"), 1),
        (EmbedderSpecError("its file is gone"), 1),
        (UsageError("k is 0"), 0),
        (RerankerError("down"), 0),
    ],
)
@pytest.mark.parametrize("by", ["words", "vectors"])
def test_a_failed_query_is_counted_however_it_failed(
    service: StoreService, monkeypatch: pytest.MonkeyPatch, by: str, error: Exception, errors: int
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise error

    traffic = watched(service, monkeypatch)
    for name in ("answer", "answer_vectors"):
        monkeypatch.setattr(service.searcher, name, fail)
    asked = service.search(["apples"], OPTIONS) if by == "words" else service.search_vectors([[1.0]], "abc", OPTIONS)
    with pytest.raises(type(error)):
        asyncio.run(asked)
    assert counted(service) == (0, errors)
    assert sum(one.errors for one in traffic._counts.values()) == errors
    page = service.metrics_page().decode()
    assert f'vecrollback_query_errors_total{{type="{type(error).__name__}"}} 1.0' in page


def test_vectors_of_another_model_are_a_wrong_question(service: StoreService) -> None:
    with pytest.raises(FingerprintMismatchError):
        asyncio.run(service.search_vectors([[1.0] * 64], "abc", OPTIONS))
    assert counted(service) == (0, 0)


def test_a_search_by_vectors_is_measured_as_one_by_words(
    service: StoreService, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic = watched(service, monkeypatch)
    made = service.searcher.embed_queries(["apples", "pears"])
    asyncio.run(service.search_vectors(made.vectors.tolist(), made.fingerprint, OPTIONS))
    assert counted(service) == (2, 0)
    assert sum(one.answers for one in traffic._counts.values()) == 2
    assert 'vecrollback_queries_total{pair="v2"} 2.0' in service.metrics_page().decode()


def test_queries_of_an_index_whose_files_are_gone_count_as_errors(own_store: Path) -> None:
    with connect(own_store) as store:
        store.promote(store.reembed("hash:64?seed=3", name="v3", index="lance:IVF_FLAT").wait(), reason="built")
    with serving(own_store) as server:
        assert server.post("/v1/search", {"query": "apples"}).json()["pair"] == "v3"
        for place in own_store.rglob("vectors.lance"):
            shutil.rmtree(place)
        failed = [server.post("/v1/search", {"query": f"apples {n}"}).status_code for n in range(4)]
        assert set(failed) == {500}
        spans = server.get("/v1/series").json()["spans"]
        assert sum(span["errors"] for span in spans) == 4
        [line] = [one for one in server.get("/v1/situation").json()["lines"] if one["name"] == "queries"]
        assert line["state"] == "alert"
        assert 'query_errors_total{type="CorruptArtifactError"} 4.0' in server.get("/metrics").text
