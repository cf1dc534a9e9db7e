"""Whatever else embeds in a process that answers queries, a query waits for a few texts at most.

Here everything is done in one process, as where there is no room for a helper (`tests/store/test_helper.py`).

Covers embedders.pieces.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecrollback
from tests.support import one_at_a_time
from tests.support.operations import words
from vecrollback import Document, Store
from vecrollback.embedders import pieces
from vecrollback.embedders.pieces import FIRST_CHARACTERS, FIRST_TEXTS, QUERIES_FIRST, embed_in_pieces

MODEL = "tests.support.one_at_a_time:embed"
DOCUMENTS = 300


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(DOCUMENTS)])
        store.promote(store.reembed(MODEL, name="one", index="Flat").wait(), reason="first")
        for n in range(3):
            store.golden.add(words(n), [f"d{n}"])
    return root


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECROLLBACK_HELPER", "never")


@pytest.fixture
def events() -> Iterator[list[tuple[str, str, int]]]:
    """What the model was asked while it takes four milliseconds for each text: two of them fill a piece."""
    with one_at_a_time.slowly(0.004) as events:
        yield events


def _checked(store: Store) -> None:
    assert store.check("one", sample=DOCUMENTS).verdict == "pass"


def _audited(store: Store) -> None:
    store.audit("one")


def _caught_up(store: Store) -> None:
    assert store.catch_up("one").embedded == DOCUMENTS


@pytest.mark.parametrize("work", [_checked, _audited, _caught_up], ids=["check", "audit", "catch-up"])
def test_a_query_waits_for_one_piece_at_most(
    store: Store, events: list[tuple[str, str, int]], work: Callable[[Store], None]
) -> None:
    with store.searcher() as searcher:
        searcher.search("query to begin with")
        if work is _caught_up:
            store.upsert([Document(f"new{n}", words(1_000 + n)) for n in range(DOCUMENTS)])
        events.clear()
        failures: list[BaseException] = []
        thread = threading.Thread(target=_run, args=(work, store, failures))
        thread.start()
        while thread.is_alive():
            searcher.search(f"query {len(events)}")
            time.sleep(0.003)
        thread.join()
    assert not failures
    assert max(count for what, kind, count in events if kind == "document") <= FIRST_TEXTS
    waits = list(_pieces_begun_while_a_query_waited(events))
    during = [one for one in waits if one is not None]
    assert len(during) > 5
    assert max(during) <= 1


def test_without_a_searcher_a_check_embeds_as_much_at_once_as_the_model_likes(
    store: Store, events: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "RECENT_SECONDS", 0.0)  # the tests before this one have just searched
    _checked(store)
    assert max(count for _, kind, count in events if kind == "document") >= DOCUMENTS


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QUERIES_FIRST, "_searchers", 1)
    monkeypatch.setattr(QUERIES_FIRST, "characters", FIRST_CHARACTERS)


def embedded(texts: list[str], seconds: float = 0.0) -> list[list[str]]:
    """The pieces in which these were given to a model that takes so long for each."""
    calls: list[list[str]] = []

    def embed(piece: Sequence[str]) -> Any:
        calls.append(list(piece))
        time.sleep(seconds * len(piece))
        return np.zeros((len(piece), 4), np.float32)

    assert len(embed_in_pieces(embed, texts)) == len(texts)
    assert [text for call in calls for text in call] == texts
    return calls


@pytest.mark.usefixtures("serving")
def test_the_first_piece_is_eight_texts_or_a_thousand_tokens() -> None:
    for texts, first in (
        (["a" * 100] * 20, FIRST_TEXTS),
        (["b" * 3_000] * 2, 1),
        (["c" * (FIRST_CHARACTERS // 4)] * 6, 4),
        (["d" * 10_000, "e"], 1),
        ([""] * 3, 3),
    ):
        QUERIES_FIRST.characters = FIRST_CHARACTERS
        assert len(embedded(texts)[0]) == first
    assert FIRST_TEXTS == 8


@pytest.mark.usefixtures("serving")
def test_work_that_begins_after_other_work_knows_how_slow_the_model_is() -> None:
    embedded(["a" * 50] * 12, seconds=0.03)
    assert len(embedded(["a" * 50] * 12)[0]) == 1


@pytest.mark.usefixtures("serving")
def test_pieces_grow_for_a_quick_model_and_shrink_for_a_slow_one() -> None:
    quick, slow = embedded(["a" * 50] * 5_000), embedded(["a" * 50] * 40, seconds=0.03)
    assert len(quick) <= 12, "each twice as long as the one before"
    assert [len(piece) for piece in slow[1:]] == [1] * 32, "one of them takes longer than a query should wait"


def test_a_process_answers_queries_while_a_searcher_follows_and_a_while_after_its_last_query(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "RECENT_SECONDS", 0.0)
    assert not QUERIES_FIRST.open
    with store.searcher(follow=False) as once:
        assert not QUERIES_FIRST.open, "one-off queries need no lane until one comes"
        monkeypatch.setattr(pieces, "RECENT_SECONDS", 60.0)
        once.search("a query")
        assert QUERIES_FIRST.open
    monkeypatch.setattr(pieces, "RECENT_SECONDS", 0.0)
    with store.searcher():
        assert QUERIES_FIRST.open
    assert not QUERIES_FIRST.open


def _run(work: Callable[[Store], None], store: Store, failures: list[BaseException]) -> None:
    try:
        work(store)
    except BaseException as error:
        failures.append(error)


def _pieces_begun_while_a_query_waited(events: list[tuple[str, str, int]]) -> Iterator[Any]:
    waiting: int | None = None
    for what, kind, _ in list(events):
        if kind == "query":
            if what == "asked":
                waiting = 0
            elif waiting is not None:
                yield waiting
                waiting = None
        elif what == "begun" and waiting is not None:
            waiting += 1
