"""What every catalog promises."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar

import pytest

from vecrollback.catalog import Catalog
from vecrollback.catalog import schema as tables
from vecrollback.errors import (
    AliasMovedError,
    LockHeldError,
    StoreFormatError,
    UnknownNameError,
    UsageError,
    VecrollbackError,
)
from vecrollback.records import AliasTarget, CorpusState
from vecrollback.testing import to_be_defined
from vecrollback.testing.catalog_entries_suite import CatalogEntries
from vecrollback.testing.catalog_evaluation_suite import CatalogEvaluation
from vecrollback.testing.catalog_operations_suite import CatalogOperations
from vecrollback.testing.catalog_records import a_move, a_pair, a_snapshot, assert_chained
from vecrollback.testing.catalog_switching_suite import CatalogSwitching

Opener = Callable[[str, bool], Catalog]

_SPAWN = multiprocessing.get_context("spawn")
PROCESSES, MOVES = 8, 104


def _race(opener: Opener, target: str, number: int) -> list[int]:
    """Move `live` again and again, each time from where it was seen; returns the epochs of the moves that held."""
    catalog = opener(target, False)
    held: list[int] = []
    while len(held) < MOVES // PROCESSES:
        seen = catalog.aliases.get("live")
        try:
            move = a_move(expected=seen.epoch if seen else 0, actor=f"process {number}")
            held.append(catalog.aliases.move(move).epoch)
        except AliasMovedError:
            continue
    catalog.close()
    return held


def _create(opener: Opener, target: str) -> str:
    catalog = opener(target, True)
    catalog.close()
    return catalog.store_id


def _count(opener: Opener, target: str, file: str) -> None:
    catalog, counter = opener(target, False), Path(file)
    for _ in range(25):
        with catalog.lock("counter"):
            counter.write_text(str(int(counter.read_text(encoding="utf-8")) + 1), encoding="utf-8")
    catalog.close()


def _obey(opener: Opener, target: str, orders: Connection) -> None:
    """Do what the other end says, and say when it is done."""
    catalog = opener(target, False)
    held = []  # a lock that nobody refers to is let go of
    orders.send("ready")
    while order := orders.recv():
        if order[0] == "move":
            orders.send(catalog.aliases.move(a_move(expected=order[1])).epoch)
        elif order[0] in ("lock", "share"):
            held.append(catalog.lock(order[1], shared=order[0] == "share"))
            held[-1].__enter__()
            orders.send("held")
        elif order[0] == "delete":
            state = catalog.ledger.state()
            later = CorpusState(state.head + 1, state.version, 0)
            catalog.ledger.commit(later, [(order[1], later.head)], expected=state)
            orders.send("deleted")
    catalog.close()


class CatalogConformance(CatalogEntries, CatalogOperations, CatalogSwitching, CatalogEvaluation):
    """What every catalog promises, over whatever database. Every test gets a new, empty one.

    A subclass sets `opener` and gives the fixture `target`. `opener` is a function of a module, because other processes
    call it too: some tests race, and kill.

    Attributes:
        opener: `(target, create) -> Catalog`.

    Example:
        A whole adopter::

            import pytest
            from pathlib import Path
            from vecrollback.catalog import Catalog
            from vecrollback.testing import CatalogConformance

            def open_mine(target: str, create: bool) -> Catalog:
                return Catalog(Path(target), create=create)

            class TestMine(CatalogConformance):
                opener = staticmethod(open_mine)

                @pytest.fixture
                def target(self, tmp_path: Path) -> str:
                    return str(tmp_path)
    """

    opener: ClassVar[Opener]

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:  # noqa: ARG002
        to_be_defined(type(self), "target")

    @pytest.fixture
    def catalog(self, target: str) -> Iterator[Catalog]:
        opened = type(self).opener(target, True)
        yield opened
        opened.close()

    @pytest.fixture
    def live_catalog(self, catalog: Catalog) -> Catalog:
        """With pair `one`, which has snapshots 1 and 2."""
        catalog.pairs.add(a_pair(), {})
        for number in (1, 2):
            catalog.pairs.add_snapshot(a_snapshot(number=number))
        return catalog

    @contextmanager
    def other(self, target: str) -> Iterator[tuple[Connection, multiprocessing.process.BaseProcess]]:
        """A process that does what it is told."""
        here, there = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_obey, args=(type(self).opener, target, there), daemon=True)
        process.start()
        assert here.recv() == "ready"
        try:
            yield here, process
        finally:
            process.kill()
            process.join()

    # -- aliases ------------------------------------------------------------------------------------------------------

    def test_no_move_is_lost_and_none_wins_twice_when_processes_race(self, target: str, live_catalog: Catalog) -> None:
        with ProcessPoolExecutor(PROCESSES, mp_context=_SPAWN) as pool:
            jobs = [pool.submit(_race, type(self).opener, target, n) for n in range(PROCESSES)]
            held = [job.result(timeout=120) for job in jobs]
        assert sorted(epoch for epochs in held for epoch in epochs) == list(range(1, MOVES + 1))
        moves = live_catalog.aliases.history("live")[::-1]
        assert [move.epoch for move in moves] == list(range(1, MOVES + 1))
        for number, epochs in enumerate(held):
            assert [move.epoch for move in moves if move.actor == f"process {number}"] == epochs
        assert live_catalog.aliases.get("live") == AliasTarget("one", 1, MOVES)
        assert_chained(live_catalog)

    def test_move_names_what_it_expected_and_what_it_found(self, live_catalog: Catalog) -> None:
        live_catalog.aliases.move(a_move())
        before = live_catalog.aliases.history()
        with pytest.raises(AliasMovedError) as caught:
            live_catalog.aliases.move(a_move(expected=7))
        assert (caught.value.expected, caught.value.found) == (7, 1)
        with pytest.raises(AliasMovedError):
            live_catalog.aliases.move(a_move(expected=0))
        assert live_catalog.aliases.history() == before
        assert live_catalog.aliases.get("live") == AliasTarget("one", 1, 1)

    def test_a_name_or_a_number_that_no_catalog_can_hold_is_refused_as_that(self, live_catalog: Catalog) -> None:
        for ask in (
            lambda: live_catalog.pairs.find("a\ud800"),
            lambda: live_catalog.pairs.get("a\ud800"),
            lambda: live_catalog.aliases.get("a\ud800"),
            lambda: live_catalog.jobs.get("a\ud800"),
            lambda: live_catalog.incidents.get(10**30),
            lambda: live_catalog.approvals.get(10**30),
        ):
            with pytest.raises(UsageError, match="cannot be in the catalog"):
                ask()
        assert live_catalog.pairs.get("one").name == "one", "and the next question is answered"

    def test_move_to_nothing_is_refused(self, live_catalog: Catalog) -> None:
        for wrong in (a_move(pair="two"), a_move(snapshot=9)):
            with pytest.raises(UnknownNameError):
                live_catalog.aliases.move(wrong)
        assert live_catalog.aliases.all() == {}
        assert live_catalog.aliases.history() == []

    def test_move_takes_states_and_head_along_or_changes_nothing(self, live_catalog: Catalog) -> None:
        live_catalog.pairs.add(a_pair("two"), {})
        order = replace(a_move(), states={"one": ("live", ""), "two": ("quarantined", "bad")}, head=(4, 1))
        with pytest.raises(AliasMovedError):
            live_catalog.aliases.move(replace(order, expected_epoch=3))
        assert [pair.state for pair in live_catalog.pairs.all()] == ["ready", "ready"]
        live_catalog.aliases.move(order)
        one, two = live_catalog.pairs.get("one"), live_catalog.pairs.get("two")
        assert (one.state, one.watermark, one.vectors_version, one.snapshot) == ("live", 4, 1, 1)
        assert (two.state, two.state_reason, two.watermark) == ("quarantined", "bad", 0)

    def test_history_tells_every_move_newest_first(self, live_catalog: Catalog) -> None:
        live_catalog.aliases.move(a_move())
        live_catalog.aliases.move(replace(a_move(), alias="candidate"))
        live_catalog.aliases.move(a_move(expected=1, snapshot=2))
        newest = live_catalog.aliases.history("live", limit=1)[0]
        assert (newest.epoch, newest.source, newest.target) == (2, "one@1", "one@2")
        assert (newest.reason, newest.kind, newest.actor) == ("becaüse ☂", "promote", "somebody")
        assert [move.alias for move in live_catalog.aliases.history()] == ["live", "candidate", "live"]
        assert live_catalog.aliases.history(kinds=["promote"], since=newest.at) == [newest]
        assert live_catalog.aliases.history(kinds=["advance"]) == []
        assert live_catalog.aliases.newest_move("live") == live_catalog.aliases.newest_move() == newest
        assert live_catalog.aliases.newest_move(kinds=["rollback"]) is None
        assert_chained(live_catalog)

    def test_a_rollback_is_found_by_the_pair_that_it_left(self, live_catalog: Catalog) -> None:
        live_catalog.aliases.move(a_move())
        assert not live_catalog.aliases.was_rolled_back_from("live", "one")
        live_catalog.aliases.move(replace(a_move(expected=1, snapshot=2), kind="rollback"))
        assert live_catalog.aliases.was_rolled_back_from("live", "one")
        for other in ("on", "_ne", "ONE", "one@1"):
            assert not live_catalog.aliases.was_rolled_back_from("live", other)
        assert not live_catalog.aliases.was_rolled_back_from("candidate", "one")

    def test_pointer_reader_sees_the_commit_of_another_process_at_once(
        self, target: str, live_catalog: Catalog
    ) -> None:
        reader = live_catalog.aliases.pointer_reader("live")
        assert reader.read() is None
        with self.other(target) as (orders, _):
            for expected in range(50):
                orders.send(("move", expected))
                epoch = orders.recv()
                pointer = reader.read()
                assert pointer
                assert (pointer.epoch, pointer.pair, pointer.snapshot) == (epoch, "one", 1)
            orders.send(("delete", "a"))
            orders.recv()
            later = reader.read()
            assert later and pointer
            assert later.head == pointer.head + 1
        reader.close()

    def test_pointer_is_the_same_object_while_nothing_of_it_changed(self, live_catalog: Catalog) -> None:
        live_catalog.aliases.move(a_move())
        reader = live_catalog.aliases.pointer_reader("live")
        first = reader.read()
        live_catalog.pairs.set_tag("kept", a_snapshot())
        assert reader.read() is first
        live_catalog.pairs.advance("one", watermark=3, vectors_version=2, expected=1)
        second = reader.read()
        assert second
        assert (second.watermark, second.vectors_version) == (3, 2)
        reader.close()

    def test_scratch_alias_is_forgotten_and_no_other(self, live_catalog: Catalog) -> None:
        live_catalog.aliases.move(replace(a_move(), alias="drill-1"))
        live_catalog.aliases.drop("drill-1")
        assert live_catalog.aliases.get("drill-1") is None
        live_catalog.aliases.move(a_move())
        with pytest.raises(UsageError, match="live"):
            live_catalog.aliases.drop("live")
        assert_chained(live_catalog)

    # -- locks --------------------------------------------------------------------------------------------------------

    def test_lock_excludes_other_processes_and_dies_with_its_holder(self, target: str, catalog: Catalog) -> None:
        with self.other(target) as (orders, process):
            orders.send(("lock", "pair-one"))
            assert orders.recv() == "held"
            with pytest.raises(LockHeldError, match="pair-one"), catalog.lock("pair-one", timeout=0.1):
                pass
            with catalog.lock("pair-two", timeout=1):
                pass
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            with catalog.lock("pair-one", timeout=10):
                pass

    def test_lock_lets_one_process_in_at_a_time(self, target: str, catalog: Catalog, tmp_path: Path) -> None:  # noqa: ARG002
        counter = tmp_path / "counter"
        counter.write_text("0", encoding="utf-8")
        with ProcessPoolExecutor(4, mp_context=_SPAWN) as pool:
            for job in [pool.submit(_count, type(self).opener, target, str(counter)) for _ in range(4)]:
                job.result(timeout=60)
        assert counter.read_text(encoding="utf-8") == "100"

    def test_a_shared_lock_has_many_holders_and_keeps_out_who_wants_it_alone(
        self, target: str, catalog: Catalog
    ) -> None:
        with self.other(target) as (orders, process):
            orders.send(("share", "reading-one"))
            assert orders.recv() == "held"
            with catalog.lock("reading-one", shared=True, timeout=1):
                pass
            with pytest.raises(LockHeldError, match="reading-one"), catalog.lock("reading-one", timeout=0.1):
                pass
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            with (
                catalog.lock("reading-one", timeout=10),
                pytest.raises(LockHeldError, match="reading-one"),
                catalog.lock("reading-one", shared=True, timeout=0.1),
            ):
                pass

    # -- the store ----------------------------------------------------------------------------------------------------

    def test_processes_that_create_at_once_make_one_store(self, target: str) -> None:
        with ProcessPoolExecutor(6, mp_context=_SPAWN) as pool:
            jobs = [pool.submit(_create, type(self).opener, target) for _ in range(6)]
            assert len({job.result(timeout=60) for job in jobs}) == 1

    def test_newer_format_is_refused_with_the_cure(self, target: str, catalog: Catalog) -> None:
        with catalog._database.write() as connection:
            connection.execute(tables.store.update().values(format=tables.FORMAT + 1))
        with pytest.raises(StoreFormatError, match=str(tables.FORMAT + 1)) as caught:
            type(self).opener(target, False)
        assert "upgrade" in caught.value.hint
        assert isinstance(caught.value, VecrollbackError)

    def test_sound_catalog_finds_nothing_wrong_with_itself(self, live_catalog: Catalog) -> None:
        assert live_catalog.integrity() == ""
