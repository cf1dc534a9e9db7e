"""To a pair whose model is gone a rollback goes over a bridge that is worth it, and says so; else it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.openai_server import OpenAIServer, error
from tests.support.topics import documents, query
from vecrollback import Store
from vecrollback.errors import NoRollbackTargetError
from vecrollback.store import payloads

GOOD, BAD = "hash:256?seed=1", "tests.support.models:skewed"


@pytest.fixture(scope="module")
def service() -> Iterator[OpenAIServer]:
    with OpenAIServer(64) as server:
        yield server


def build(root: Path, service: OpenAIServer, live: str) -> Store:
    """`old` behind the service served before `new`; then the service is gone, and somebody has noticed."""
    service.refusal = lambda texts: None
    store = vecrollback.connect(root, create=True)
    store.upsert(documents(300))
    for name, spec in (("old", service.spec(query_retries=0, max_retries=0)), ("new", live)):
        store.reembed(spec, name=name, index="Flat").wait()
        store.promote(name)
    store.bridge("new", "old", seed=3)  # in place of the one that the promote measured with queries drawn anew
    service.refusal = lambda texts: error(503, "gone")
    assert store.ask_model("old").verdict == "fail"
    (root / "vecrollback.toml").write_text('[serving]\nfallback = ["standby", "bridge"]\n')
    return store


def test_a_bridge_that_beats_staying_is_the_way_back(tmp_path: Path, service: OpenAIServer) -> None:
    with build(tmp_path / "store", service, BAD) as store:
        [bridge] = [one for one in store.bridges() if one.target == "old"]
        assert bridge.verdict == "bridge"
        assert store.rollback_target().ref == "old@1"
        moved = store.rollback(reason="worse answers", catch_up=False)
        assert moved.target == "old@1"
        assert moved.bridge == bridge
        assert payloads.switched(moved)["bridge"]["sentence"] == bridge.sentence
        result = store.search(query(3))
        assert (result.answered_by, result.pair) == ("bridge", "old")


def test_a_bridge_worse_than_staying_is_refused_with_its_numbers(tmp_path: Path, service: OpenAIServer) -> None:
    with build(tmp_path / "store", service, GOOD) as store:
        [bridge] = [one for one in store.bridges() if one.target == "old"]
        assert bridge.verdict == "stay"
        with pytest.raises(NoRollbackTargetError) as refused:
            store.rollback(reason="worse answers", catch_up=False)
        assert bridge.sentence in refused.value.message
        assert "staying is not worse" in refused.value.message
        assert store.live().name == "new"
        assert store.rollback("old", reason="all the same", override=True, catch_up=False).target == "old@1"


def test_without_the_line_in_the_file_a_bridge_is_no_way_back(tmp_path: Path, service: OpenAIServer) -> None:
    with build(tmp_path / "store", service, BAD) as store:
        for text in ("", "[serving]\nfallback = 7\n"):
            (store.root / "vecrollback.toml").write_text(text)
            with pytest.raises(NoRollbackTargetError, match="its model did not answer"):
                store.rollback(reason="worse answers", catch_up=False)
