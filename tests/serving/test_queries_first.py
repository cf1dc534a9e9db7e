"""Whatever else embeds in a process that answers queries, a query waits for a few texts at most.

Covers embedders.pieces.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.support import one_at_a_time
from tests.support.operations import words
from vecrollback import Document, Store
from vecrollback.embedders.pieces import PIECE_CHARACTERS, PIECE_TEXTS, pieces

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


@pytest.fixture
def events() -> Iterator[list[tuple[str, str, int]]]:
    """What the model was asked while it takes two milliseconds for each text."""
    with one_at_a_time.slowly(0.002) as events:
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
    assert max(count for what, kind, count in events if kind == "document") <= PIECE_TEXTS
    waits = list(_pieces_begun_while_a_query_waited(events))
    during = [one for one in waits if one is not None]
    assert len(during) > 5
    assert max(during) <= 1


def test_without_a_searcher_a_check_embeds_as_much_at_once_as_the_model_likes(
    store: Store, events: list[tuple[str, str, int]]
) -> None:
    _checked(store)
    assert max(count for _, kind, count in events if kind == "document") >= DOCUMENTS


def test_a_piece_is_eight_texts_or_a_thousand_tokens() -> None:
    texts = ["a" * 100] * 20 + ["b" * 3_000] * 2 + ["c" * 10_000, "d"]
    made = list(pieces(texts))
    assert [text for piece in made for text in piece] == texts
    assert [len(piece) for piece in made] == [8, 8, 5, 1, 1, 1]
    assert all(len(piece) == 1 or sum(map(len, piece)) <= PIECE_CHARACTERS for piece in made)
    assert list(pieces([])) == []


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
