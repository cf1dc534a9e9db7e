"""Law 12. A rollback's time depends on nothing that grows: not the corpus, not the history, not the number of pairs.

Counted, not timed: transactions, statements, and the steps that SQLite's virtual machine takes for them, which grow
with every row that is looked at. `benchmarks/rollback_reads.py` measures the time.

Covers catalog.switch_state, catalog.tenures, store.automation.watch.watch.
"""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import vecrollback
from tests.support.postgres import PostgresServer
from vecrollback import Document, Store
from vecrollback.catalog.aliases import apply_move
from vecrollback.records import LIVE, MoveRequest, SnapshotRef
from vecrollback.store.automation.watch.watch import LiveReader

_FEW, _MANY = 10, 1_000
_TWO, _MORE = 2, 200
_SIZES = [(_MANY, _TWO), (_FEW, _MORE), (_MANY, _MORE)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs, of which the second is live; ten moves."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        _prepare(store)
    return root


def _prepare(store: Store) -> None:
    store.upsert([Document(f"d{number}", f"text {number}") for number in range(20)])
    for seed, name in enumerate(("old", "new"), start=1):
        store.promote(store.reembed(f"hash:16?seed={seed}", name=name, index="Flat").wait(), reason="a release")
    _grow(store, _FEW, _TWO)


def _grow(store: Store, moves: int, pairs: int) -> None:
    """More pairs, each checked, each of which served where the history is to be long; then moves of the two first."""
    catalog = store.resources.catalog
    pair, snapshot, report = store.pair("old"), catalog.pairs.find_snapshot("old"), store.report("old")
    assert report is not None
    names = [f"other{number}" for number in range(pairs - len(store.pairs()))]
    for name in names:
        catalog.pairs.add(replace(pair, name=name, state="ready", snapshot=0), {})
        catalog.pairs.add_snapshot(replace(snapshot, pair=name))
        catalog.reports.add(replace(report, pair=name))
    to_and_fro = itertools.cycle(["old", "old", "new", "new"])
    more = moves - len(store.history(alias=LIVE))
    targets = [*names, *itertools.islice(to_and_fro, more - len(names))] if more > len(names) else []
    epoch = catalog.switch_state().epoch
    with catalog._database.write() as connection:  # one commit for all: they are made as single ones are
        for number, name in enumerate([*targets, "new"], start=epoch):
            target = SnapshotRef(name, 1)
            apply_move(connection, MoveRequest("a law", "a test", expected_epoch=number, kind="restore", target=target))


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    """What the catalogs that are opened in this block ask of SQLite, from `counts.clear()` on."""
    counts: Counter[str] = Counter()

    def step() -> int:
        counts["steps"] += 1
        return 0

    def watch(connection: Any, _record: object) -> None:
        if hasattr(connection, "set_progress_handler"):
            connection.set_progress_handler(step, 1)

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        counts["statements"] += 1
        if statement.startswith("BEGIN"):
            counts["writes" if "IMMEDIATE" in statement else "reads"] += 1

    sa.event.listen(sa.Engine, "connect", watch)
    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield counts
    finally:
        sa.event.remove(sa.Engine, "connect", watch)
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def _cost(root: Path, act: Callable[[Store], object]) -> dict[str, int]:
    with _counted() as counts, vecrollback.connect(root) as store:
        store.pair("old")  # connections are open
        counts.clear()
        act(store)
        return dict(counts)


def _back(store: Store) -> None:
    done = store.rollback(reason="a law", catch_up=False)
    assert (done.source, done.target, done.trouble) == ("new@1", "old@1", "")


@pytest.mark.parametrize(("moves", "pairs"), _SIZES)
def test_rollback_asks_the_same_of_a_store_with_a_long_history_and_many_pairs(
    template: Path, root: Path, tmp_path: Path, moves: int, pairs: int
) -> None:
    with vecrollback.connect(root) as store:
        _grow(store, moves, pairs)
        assert len(store.pairs()) == pairs
        assert len(store.history(alias=LIVE)) >= moves
    small = shutil.copytree(template, tmp_path / "small")
    few, many = _cost(small, _back), _cost(root, _back)
    assert (few["reads"], few["writes"]) == (3, 2)
    assert many == few


def test_to_look_where_a_rollback_would_go_asks_the_same_too(template: Path, root: Path, tmp_path: Path) -> None:
    with vecrollback.connect(root) as store:
        _grow(store, _MANY, _MORE)
    small = shutil.copytree(template, tmp_path / "small")
    few, many = (_cost(path, lambda store: store.rollback_target()) for path in (small, root))
    assert few["reads"] == 1
    assert "writes" not in few
    assert many == few


def test_a_watch_that_looks_again_asks_the_same_too(template: Path, root: Path, tmp_path: Path) -> None:
    with vecrollback.connect(root) as store:
        _grow(store, _MANY, _TWO)
    small = shutil.copytree(template, tmp_path / "small")
    costs = []
    for path in (small, root):
        with _counted() as counts, vecrollback.connect(path) as store:
            live = LiveReader(store)
            before = live.read()
            assert before is not None
            assert (before.pair, before.kind, before.overridden) == ("new", "restore", False)
            counts.clear()
            assert live.read() == before
            costs.append(dict(counts))
    assert costs[0] == costs[1]


def test_the_count_sees_a_read_of_the_history_and_of_all_pairs(root: Path) -> None:
    """What it would take to fail."""
    before = [_cost(root, Store.history)["steps"], _cost(root, Store.pairs)["steps"]]
    with vecrollback.connect(root) as store:
        _grow(store, _MANY, _MORE)
    after = [_cost(root, Store.history)["steps"], _cost(root, Store.pairs)["steps"]]
    assert all(more > 10 * few for few, more in zip(before, after, strict=True))


def test_rollback_asks_the_same_of_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    asked = []
    for moves, pairs in ((_FEW, _TWO), (400, 50)):
        with (
            _counted() as counts,
            vecrollback.connect(tmp_path / str(pairs), catalog=postgres.url(), create=True) as store,
        ):
            _prepare(store)
            _grow(store, moves, pairs)
            counts.clear()
            _back(store)
            asked.append(counts["statements"])
    assert asked[0] == asked[1]
