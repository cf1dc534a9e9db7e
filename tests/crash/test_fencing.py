"""A writer that lost its lock without noticing: whatever it does, nothing that was acknowledged is lost or skipped.

It happens where a lock lives on a server: the server restarts, the lock is free, and the process that held it goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.support.operations import EVERY_ROW
from tests.support.oracle import ONE, assert_passes, assert_serves
from vecrollback import Document, Store
from vecrollback.errors import HeadMovedError
from vecrollback.reembedding.refresher import Refresher

TEXTS = {f"d{n}": f"note {n} on boats, the lake and bread" for n in range(12)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with vecrollback.connect(tmp_path, create=True) as opened:
        opened.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        opened.reembed(ONE, name="one", index="Flat").wait()
        opened.promote("one")
        yield opened


@pytest.fixture
def unlocked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The same store in a process whose locks hold nobody."""
    with vecrollback.connect(store.root) as opened:
        monkeypatch.setattr(opened.resources.catalog, "lock", lambda name, timeout=-1: nullcontext())
        yield opened


def _before(monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, happens: Any) -> None:
    """Let something happen once, just before a method of `owner` is called."""
    original, left = getattr(owner, method), [happens]

    def call(*arguments: Any, **options: Any) -> Any:
        while left:
            left.pop()()
        return original(*arguments, **options)

    monkeypatch.setattr(owner, method, call)


def _write(store: Store, texts: dict[str, str]) -> None:
    store.upsert([Document(id_, text) for id_, text in texts.items()])


def _assert_sound(store: Store, texts: dict[str, str]) -> None:
    """Documents, answers and audit are those of the acknowledged writes alone."""
    store.catch_up("one")
    assert {id_: found.text for id_, found in store.get([*texts, "late"]).items()} == texts
    assert store.status()["corpus"]["documents"] == len(texts)
    assert_serves(store, texts)
    assert_passes(store.check("one", sample=EVERY_ROW))


@pytest.mark.parametrize("late", ["new", "d1", "late"], ids=["the same new id", "the same old id", "another id"])
def test_writer_that_was_overtaken_before_its_commit_changes_nothing(
    late: str, store: Store, unlocked: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = {"new": "bread of yesterday", "d1": "boats of today"}
    _before(monkeypatch, unlocked.resources.corpus.table, "merge", lambda: _write(store, fresh))
    with pytest.raises(HeadMovedError) as refused:
        _write(unlocked, {late: "written too late"})
    assert "again" in refused.value.hint
    _write(store, {"after": "a lake after it"})
    _assert_sound(store, TEXTS | fresh | {"after": "a lake after it"})


@pytest.mark.parametrize("late", ["new", "d1", "late"], ids=["the same new id", "the same old id", "another id"])
def test_writer_with_the_lock_does_not_build_on_what_another_left(
    late: str, store: Store, unlocked: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    def intrude() -> None:
        with pytest.raises(KeyboardInterrupt):
            _write(unlocked, {late: "written too late"})

    _before(monkeypatch, unlocked.resources.corpus._ledger, "commit", die)
    _before(monkeypatch, store.resources.corpus.table, "merge", intrude)
    fresh = {"new": "bread of yesterday", "d1": "boats of today"}
    with pytest.raises(HeadMovedError):
        _write(store, fresh)
    _write(store, fresh)
    # alone in the table, it is like the last write of a process that died, which is taken in
    adopted = {"late": "written too late"} if "late" in store.get(["late"]) else {}
    _assert_sound(store, TEXTS | fresh | adopted)


@pytest.mark.parametrize("ids", [lambda n: f"w{n % 5}", lambda n: f"new{n}"], ids=["the same", "ever new ones"])
def test_catch_up_ends_although_somebody_writes_all_the_time(
    ids: Callable[[int], str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write for each step of the catch-up: it can never be at the head."""
    written = itertools.count()
    acknowledge = Refresher._acknowledge

    def write_first(refresher: Refresher, files: Any) -> None:
        number = next(written)
        _write(store, {ids(number): f"written meanwhile, {number}"})
        acknowledge(refresher, files)

    _write(store, {"new": "bread of yesterday"})
    with monkeypatch.context() as patched:
        patched.setattr(Refresher, "_acknowledge", write_first)
        done = store.catch_up("one")
    assert 0 < done.lag <= next(written)
    assert store.catch_up("one").lag == 0
    assert_passes(store.check("one", sample=EVERY_ROW))


def test_catch_up_that_was_overtaken_before_its_commit_leaves_nothing_that_counts(
    store: Store, unlocked: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are in the table, after those of the other: the next writer must not take them for a dead one's."""
    _write(store, {"new": "bread of yesterday"})
    waiting = ["table.data_synced"]

    def reach(point: str) -> None:
        if point in waiting:
            waiting.clear()
            store.catch_up("one")

    monkeypatch.setattr("vecrollback.storage.lance_table.reach", reach)
    with pytest.raises(HeadMovedError, match="vectors-one"):
        unlocked.catch_up("one")
    _assert_sound(store, TEXTS | {"new": "bread of yesterday"})


def test_catch_up_that_was_overtaken_stops_and_the_next_one_is_exact(
    store: Store, unlocked: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(store, {"new": "bread of yesterday"})
    _before(monkeypatch, unlocked.resources.catalog.pairs, "advance", lambda: store.catch_up("one"))
    with pytest.raises(HeadMovedError, match="vectors-one"):
        unlocked.catch_up("one")
    _assert_sound(store, TEXTS | {"new": "bread of yesterday"})
