"""A store that was opened to follow answers as a searcher does: it loads what comes next, and acknowledges moves."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from tests.support import two_pairs
from tests.support.waiting import wait_for
from vecrollback import Store


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_pairs.build(tmp_path_factory.mktemp("template") / "store")


def test_its_searches_follow_a_move_and_acknowledge_it(root: Path, store: Store) -> None:
    assert store.search("a boat", k=1).pair == "one"
    assert store.status()["searchers"] == []
    with vecrollback.connect(root, follow=True) as service:
        assert service.status()["searchers"] == []  # nothing is loaded by opening alone
        assert service.search("a boat", k=1).pair == "one"
        wait_for("the searcher to be known", lambda: store.status()["searchers"])
        moved = store.rollback(reason="worse", catch_up=False)
        assert (moved.searchers.expected, moved.searchers.acknowledged) == (1, 1)
        assert service.search("a boat", k=1).pair == "two"
    assert store.status()["searchers"] == []
