"""What every catalog promises. Adopt it with a subclass that sets `opener` and the fixture `target`.

`opener` is a function of a module, so that a process of its own can call it: (target, create) -> Catalog.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy as sa

from vecrollback.catalog import CORPUS, Catalog, MoveOrder, chained_hash, vectors_table
from vecrollback.catalog import schema as tables
from vecrollback.errors import (
    AliasMovedError,
    HeadMovedError,
    LockHeldError,
    PairStateError,
    StoreFormatError,
    UnknownNameError,
    UsageError,
    VecrollbackError,
)
from vecrollback.records import (
    Acknowledgements,
    Approval,
    BlastRadius,
    Certificate,
    CorpusState,
    Drill,
    Finding,
    Freeze,
    Incident,
    JobState,
    Pair,
    Phase,
    PostCheck,
    Report,
    SearcherRecord,
    Snapshot,
    Timeline,
)

Opener = Callable[[str, bool], Catalog]

_SPAWN = multiprocessing.get_context("spawn")
PROCESSES, MOVES = 8, 104
EMPTY = CorpusState(0, 0, 0)


def a_pair(name: str = "one") -> Pair:
    return Pair(
        name=name,
        state="ready",
        embedder="hash:32?seed=1",
        fingerprint="f" * 32,
        contract={"kind": "hash", "größe": [1, 2.5, None]},
        dimension=32,
        metric="cosine",
        index_spec="Flat",
        settings={"threshold": 0.25},
        snapshot=0,
        watermark=0,
        vectors_version=1,
        probes="p.npy",
        probe_floor=0.9999,
        created_at="2025-01-01T00:00:00.000000+00:00",
    )


def a_snapshot(pair: str = "one", number: int = 1) -> Snapshot:
    return Snapshot(pair, number, f"m{number}.json", 10 * number, number, "2025-01-01T00:00:00+00:00", 0.99, 30)


def a_move(pair: str = "one", expected: int = 0, snapshot: int = 1, actor: str = "somebody") -> MoveOrder:
    return MoveOrder("live", expected, pair, snapshot, "promote", "becaüse ☂", actor)


def a_report(verdict: str = "pass") -> Report:
    finding = Finding("deletes win", "resurrected_vector", 2, ("a", "b"), "two of them", "fail")
    certificate = Certificate(10, 0, 100, 0.2, 0.95)
    return Report("one", 1, "full", verdict, (finding,), certificate, 5, 6, "2025-01-01", {"vectors": 3})  # type: ignore[arg-type]


def an_incident() -> Incident:
    return Incident(
        number=0,
        state="open",
        alias="live",
        epoch=3,
        kind="rollback",
        source="two@1",
        target="one@1",
        reason="becaüse",
        actor="anna",
        timeline=Timeline(began="2025-01-01T00:00:00+00:00", switched="2025-01-01T01:00:00+00:00"),
        blast=BlastRadius("two", 2, 2, 7, 1),
        readers=Acknowledgements(2, 1, ("host:1",)),
        switch_ms=12.5,
        lag=4,
        findings=a_report().findings,
        post_check=PostCheck(16, 15, 0.99, "2025-01-01"),
        trigger={"metrics": [{"metric": "errors", "value": 0.5}]},
    )


def an_approval() -> Approval:
    return Approval(0, "restore", "waiting", "one@1", 3, "becaüse", "anna", "2025-01-01", 2)


# -- what other processes do ------------------------------------------------------------------------------------------


def _race(opener: Opener, target: str, number: int) -> list[int]:
    """Move `live` again and again, each time from where it was seen; returns the epochs of the moves that held."""
    catalog = opener(target, False)
    held: list[int] = []
    while len(held) < MOVES // PROCESSES:
        seen = catalog.aliases.get("live")
        try:
            held.append(catalog.aliases.move(a_move(expected=seen[2] if seen else 0, actor=f"process {number}")).epoch)
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
        elif order[0] == "lock":
            held.append(catalog.lock(order[1]))
            held[-1].__enter__()
            orders.send("held")
        elif order[0] == "delete":
            state = catalog.ledger.state()
            later = CorpusState(state.head + 1, state.version, 0)
            catalog.ledger.commit(later, [(order[1], later.head)], expected=state)
            orders.send("deleted")
    catalog.close()


class CatalogConformance:
    """Every test gets a new, empty catalog."""

    opener: ClassVar[Opener]

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:
        raise NotImplementedError

    @pytest.fixture
    def catalog(self, target: str) -> Iterator[Catalog]:
        opened = type(self).opener(target, True)
        yield opened
        opened.close()

    @pytest.fixture
    def served(self, catalog: Catalog) -> Catalog:
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

    def test_no_move_is_lost_and_none_wins_twice_when_processes_race(self, target: str, served: Catalog) -> None:
        with ProcessPoolExecutor(PROCESSES, mp_context=_SPAWN) as pool:
            jobs = [pool.submit(_race, type(self).opener, target, n) for n in range(PROCESSES)]
            held = [job.result(timeout=120) for job in jobs]
        assert sorted(epoch for epochs in held for epoch in epochs) == list(range(1, MOVES + 1))
        moves = served.aliases.history("live")[::-1]
        assert [move.epoch for move in moves] == list(range(1, MOVES + 1))
        for number, epochs in enumerate(held):
            assert [move.epoch for move in moves if move.actor == f"process {number}"] == epochs
        assert served.aliases.get("live") == ("one", 1, MOVES)
        self.assert_chained(served)

    def assert_chained(self, catalog: Catalog) -> None:
        previous = "0" * 64
        for number, move in enumerate(catalog.aliases.history()[::-1], start=1):
            assert (move.number, move.previous_hash) == (number, previous)
            assert chained_hash({name: getattr(move, name) for name in move.__slots__}) == move.hash
            previous = move.hash

    def test_move_names_what_it_expected_and_what_it_found(self, served: Catalog) -> None:
        served.aliases.move(a_move())
        before = served.aliases.history()
        with pytest.raises(AliasMovedError) as caught:
            served.aliases.move(a_move(expected=7))
        assert (caught.value.expected, caught.value.found) == (7, 1)
        with pytest.raises(AliasMovedError):
            served.aliases.move(a_move(expected=0))
        assert served.aliases.history() == before
        assert served.aliases.get("live") == ("one", 1, 1)

    def test_move_to_nothing_is_refused(self, served: Catalog) -> None:
        for wrong in (a_move(pair="two"), a_move(snapshot=9)):
            with pytest.raises(UnknownNameError):
                served.aliases.move(wrong)
        assert served.aliases.all() == {}
        assert served.aliases.history() == []

    def test_move_takes_states_and_head_along_or_changes_nothing(self, served: Catalog) -> None:
        served.pairs.add(a_pair("two"), {})
        order = replace(a_move(), states={"one": ("live", ""), "two": ("quarantined", "bad")}, head=(4, 1))
        with pytest.raises(AliasMovedError):
            served.aliases.move(replace(order, expected_epoch=3))
        assert [pair.state for pair in served.pairs.all()] == ["ready", "ready"]
        served.aliases.move(order)
        one, two = served.pairs.get("one"), served.pairs.get("two")
        assert (one.state, one.watermark, one.vectors_version, one.snapshot) == ("live", 4, 1, 1)
        assert (two.state, two.state_reason, two.watermark) == ("quarantined", "bad", 0)

    def test_history_tells_every_move_newest_first(self, served: Catalog) -> None:
        served.aliases.move(a_move())
        served.aliases.move(replace(a_move(), alias="candidate"))
        served.aliases.move(a_move(expected=1, snapshot=2))
        newest = served.aliases.history("live", limit=1)[0]
        assert (newest.epoch, newest.source, newest.target) == (2, "one@1", "one@2")
        assert (newest.reason, newest.kind, newest.actor) == ("becaüse ☂", "promote", "somebody")
        assert [move.alias for move in served.aliases.history()] == ["live", "candidate", "live"]
        self.assert_chained(served)

    def test_pointer_reader_sees_the_commit_of_another_process_at_once(self, target: str, served: Catalog) -> None:
        reader = served.aliases.pointer_reader("live")
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

    def test_pointer_is_the_same_object_while_nothing_of_it_changed(self, served: Catalog) -> None:
        served.aliases.move(a_move())
        reader = served.aliases.pointer_reader("live")
        first = reader.read()
        served.readers.forget_dead()
        served.pairs.set_tag("kept", a_snapshot())
        assert reader.read() is first
        served.pairs.advance("one", watermark=3, vectors_version=2, expected=1)
        second = reader.read()
        assert second
        assert (second.watermark, second.vectors_version) == (3, 2)
        reader.close()

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

    # -- pairs and snapshots ------------------------------------------------------------------------------------------

    def test_pair_comes_back_as_it_went_in(self, catalog: Catalog) -> None:
        catalog.pairs.add(a_pair(), {"data/a.lance": "d" * 64})
        assert catalog.pairs.get("one") == a_pair()
        assert catalog.files.of(vectors_table("one")) == {"data/a.lance": "d" * 64}
        with pytest.raises(PairStateError):
            catalog.pairs.add(a_pair(), {})
        assert catalog.pairs.find("two") is None
        with pytest.raises(UnknownNameError, match="two"):
            catalog.pairs.get("two")

    def test_advance_moves_watermark_and_files_together(self, catalog: Catalog) -> None:
        catalog.pairs.add(a_pair(), {"a": "1"})
        catalog.pairs.advance("one", watermark=7, vectors_version=3, expected=1, files={"a": "2", "b": "3"})
        pair = catalog.pairs.get("one")
        assert (pair.watermark, pair.vectors_version) == (7, 3)
        assert catalog.files.of(vectors_table("one")) == {"a": "2", "b": "3"}
        catalog.files.keep_only(vectors_table("one"), {"b"})
        assert catalog.files.of(vectors_table("one")) == {"b": "3"}

    def test_new_snapshot_is_served_from_and_aliases_follow_with_a_move(self, served: Catalog) -> None:
        served.aliases.move(a_move(snapshot=2))
        served.pairs.add_snapshot(a_snapshot(number=3))
        assert served.pairs.get("one").ref == "one@3"
        assert served.aliases.get("live") == ("one", 3, 2)
        assert served.aliases.history()[0].kind == "advance"
        self.assert_chained(served)
        with pytest.raises(sa.exc.IntegrityError):
            served.pairs.add_snapshot(a_snapshot(number=3))
        assert served.aliases.get("live") == ("one", 3, 2)

    def test_snapshot_is_found_by_its_ref_its_pair_and_its_tag(self, served: Catalog) -> None:
        served.pairs.set_tag("before-launch", a_snapshot(number=1))
        for ref, number in (("one@1", 1), ("one", 2), ("before-launch", 1)):
            assert served.pairs.find_snapshot(ref) == a_snapshot(number=number)
        for unknown in ("one@3", "two", "two@1", "one@", "@1", ""):
            with pytest.raises(UnknownNameError):
                served.pairs.find_snapshot(unknown)

    def test_held_snapshot_is_not_deleted_and_the_holder_is_named(self, served: Catalog) -> None:
        served.pairs.set_tag("kept", a_snapshot(number=1))
        with pytest.raises(PairStateError, match="tag 'kept'"):
            served.pairs.delete_snapshot(a_snapshot(number=1))
        with pytest.raises(PairStateError, match="pair 'one'"):
            served.pairs.delete_snapshot(a_snapshot(number=2))
        served.pairs.delete_tag("kept")
        served.aliases.move(a_move(snapshot=1))
        with pytest.raises(PairStateError, match="alias 'live'"):
            served.pairs.delete_snapshot(a_snapshot(number=1))
        served.aliases.move(a_move(expected=1, snapshot=2))
        served.pairs.delete_snapshot(a_snapshot(number=1))
        assert served.pairs.snapshots("one") == [a_snapshot(number=2)]

    def test_tag_moves_and_goes(self, served: Catalog) -> None:
        served.pairs.set_tag("kept", a_snapshot(number=1))
        served.pairs.set_tag("kept", a_snapshot(number=2))
        assert served.pairs.tags() == {"kept": ("one", 2)}
        served.pairs.delete_tag("kept")
        with pytest.raises(UnknownNameError):
            served.pairs.delete_tag("kept")

    # -- ledger -------------------------------------------------------------------------------------------------------

    def test_ledger_takes_head_tombstones_and_files_in_one(self, catalog: Catalog) -> None:
        assert catalog.ledger.state() == CorpusState(0, 0, 0)
        catalog.ledger.commit(CorpusState(5, 2, 3), [("a", 4), ("ü", 5)], {"data/x": "1"}, expected=EMPTY)
        assert catalog.ledger.state() == CorpusState(5, 2, 3)
        assert catalog.ledger.tombstones() == {"a": 4, "ü": 5}
        assert catalog.ledger.tombstones(after=4) == {"ü": 5}
        assert catalog.files.of(CORPUS) == {"data/x": "1"}
        catalog.ledger.commit(CorpusState(6, 3, 3), [("a", 6)], expected=CorpusState(5, 2, 3))
        assert catalog.ledger.tombstones() == {"a": 6, "ü": 5}

    def test_head_and_tombstones_are_of_one_moment(self, catalog: Catalog) -> None:
        assert catalog.ledger.standing() == (EMPTY, {})
        ended = threading.Event()

        def delete() -> None:
            states = [CorpusState(n, n, 0) for n in range(151)]
            for before, after in itertools.pairwise(states):
                catalog.ledger.commit(after, [(f"d{after.head}", after.head)], expected=before)
            ended.set()

        with ThreadPoolExecutor(1) as writer:
            done = writer.submit(delete)
            while not ended.is_set() and not done.done():
                state, tombstones = catalog.ledger.standing()
                assert len(tombstones) == state.head == max(tombstones.values(), default=0)
            done.result()

    def test_ledger_that_fails_changes_nothing(self, catalog: Catalog) -> None:
        held = CorpusState(5, 2, 3)
        catalog.ledger.commit(held, [("a", 4)], expected=EMPTY)
        with pytest.raises(sa.exc.SQLAlchemyError):
            catalog.ledger.commit(CorpusState(6, 3, 3), [("b", 6)], {"data/x": None}, expected=held)  # type: ignore[dict-item]
        assert catalog.ledger.state() == held
        assert catalog.ledger.tombstones() == {"a": 4}

    def test_writer_that_was_overtaken_changes_nothing(self, catalog: Catalog) -> None:
        catalog.ledger.commit(CorpusState(5, 2, 3), expected=EMPTY)
        with pytest.raises(HeadMovedError) as caught:
            catalog.ledger.commit(CorpusState(1, 2, 1), [("a", 1)], {"data/x": "1"}, expected=EMPTY)
        assert (caught.value.expected, caught.value.found) == (EMPTY, CorpusState(5, 2, 3))
        assert (catalog.ledger.tombstones(), catalog.files.of(CORPUS)) == ({}, {})
        catalog.pairs.add(a_pair(), {})
        catalog.pairs.advance("one", watermark=5, vectors_version=2, expected=1)
        with pytest.raises(HeadMovedError, match="vectors-one"):
            catalog.pairs.advance("one", watermark=9, vectors_version=3, expected=1, files={"b": "3"})
        assert (catalog.pairs.get("one").watermark, catalog.files.of(vectors_table("one"))) == (5, {})

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def test_unfinished_job_is_resumed_and_a_finished_one_is_not(self, catalog: Catalog) -> None:
        first = catalog.jobs.start("reembed", "one")
        assert (first.state, first.cancel, first.pair) == ("running", False, "one")
        assert not catalog.jobs.report(first.id, {"documents": 5})
        states: tuple[JobState, ...] = ("failed", "cancelled")
        for state in states:
            catalog.jobs.finish(first.id, state, "why")
            assert catalog.jobs.get(first.id).error == "why"
            again = catalog.jobs.start("reembed", "one")
            assert (again.id, again.state, again.error) == (first.id, "running", "")
            assert again.progress == {"documents": 5}
        assert catalog.jobs.start("catch-up", "one").id != first.id
        assert catalog.jobs.start("reembed", "two").id != first.id
        catalog.jobs.finish(first.id, "done")
        assert catalog.jobs.start("reembed", "one").id != first.id
        assert first.id in [job.id for job in catalog.jobs.all()]
        assert first.id not in [job.id for job in catalog.jobs.all(unfinished=True)]

    def test_cancel_reaches_the_job_once_and_a_resumed_one_starts_clean(self, catalog: Catalog) -> None:
        job = catalog.jobs.start("reembed", "one").id
        catalog.jobs.cancel(job)
        catalog.jobs.cancel(job)
        assert catalog.jobs.report(job, {})
        catalog.jobs.finish(job, "cancelled")
        assert catalog.jobs.start("reembed", "one").id == job
        assert not catalog.jobs.report(job, {})
        with pytest.raises(UnknownNameError):
            catalog.jobs.get("nothing")

    # -- readers ------------------------------------------------------------------------------------------------------

    def test_reader_is_alive_until_it_leaves_dies_or_falls_silent(self, catalog: Catalog) -> None:
        here = SearcherRecord("r1", "live", socket.gethostname(), os.getpid(), 3, ("one@1", "two@1"), 0.0)
        catalog.readers.announce(here)
        found = catalog.readers.alive("live")[0]
        assert replace(found, heartbeat=0.0) == here
        assert abs(found.heartbeat - time.time()) < 5
        catalog.readers.announce(replace(here, epoch=4))
        assert [reader.epoch for reader in catalog.readers.alive("live")] == [4]
        assert catalog.readers.alive("candidate") == []
        process = _SPAWN.Process(target=time.sleep, args=(0,))
        process.start()
        process.join()
        assert process.pid
        catalog.readers.announce(replace(here, id="dead", pid=process.pid))
        catalog.readers.announce(replace(here, id="far", host="elsewhere", pid=process.pid))
        assert {reader.id for reader in catalog.readers.registered("live")} == {"r1", "far"}
        self._age(catalog, "far", 60)
        assert {reader.id for reader in catalog.readers.alive("live")} == {"r1"}
        assert {reader.id for reader in catalog.readers.registered("live")} == {"r1", "far"}
        self._age(catalog, "far", 7200)
        catalog.readers.forget_dead()
        assert {reader.id for reader in catalog.readers.registered("live")} == {"r1"}
        catalog.readers.leave("r1")
        catalog.readers.leave("r1")
        assert catalog.readers.registered("live") == []

    def _age(self, catalog: Catalog, reader: str, seconds: float) -> None:
        with catalog._database.write() as connection:
            old = tables.reader.update().where(tables.reader.c.id == reader).values(heartbeat=time.time() - seconds)
            connection.execute(old)

    # -- reports ------------------------------------------------------------------------------------------------------

    def test_newest_report_decides(self, served: Catalog) -> None:
        assert served.reports.newest("one") is None
        for verdict in ("pass", "fail", "unknown"):
            served.reports.add(a_report(verdict))
            assert served.reports.verdicts() == {"one": verdict}
        assert served.reports.newest("one") == a_report("unknown")
        served.reports.add(replace(a_report(), certificate=None, findings=()))
        assert served.reports.newest("one") == replace(a_report(), certificate=None, findings=())

    def test_equivalence_holds_both_ways(self, catalog: Catalog) -> None:
        catalog.equivalences.declare("b", "a", cosine=0.99999, actor="somebody")
        catalog.equivalences.declare("a", "b", cosine=0.99998, actor="somebody")
        assert catalog.equivalences.of("a") == catalog.equivalences.of("b") == {"a", "b"}
        assert catalog.equivalences.of("c") == {"c"}

    # -- operations ---------------------------------------------------------------------------------------------------

    def test_one_move_has_one_incident_and_it_comes_back_as_it_went_in(self, catalog: Catalog) -> None:
        opened = catalog.incidents.open(an_incident())
        assert opened == replace(an_incident(), number=opened.number)
        assert catalog.incidents.open(replace(an_incident(), reason="another")) == opened
        assert catalog.incidents.epochs("live") == {3}
        assert catalog.incidents.epochs("candidate") == set()
        closed = catalog.incidents.change(opened.number, lambda one: replace(one, state="closed", verdict="pass"))
        assert catalog.incidents.get(opened.number) == closed
        assert catalog.incidents.all(state="open") == []
        assert catalog.incidents.all(state="closed") == [closed]
        with pytest.raises(UnknownNameError, match="9"):
            catalog.incidents.get(9)

    def test_answers_are_summed_over_readers_and_epochs(self, catalog: Catalog) -> None:
        catalog.served.note("r1", "live", [(2, 5, 10.0, 20.0), (3, 1, 21.0, 22.0)])
        catalog.served.note("r1", "live", [(2, 7, 10.0, 25.0)])  # a count so far, not an addition
        catalog.served.note("r2", "live", [(2, 4, 9.0, 30.0)])
        catalog.served.note("r3", "candidate", [(2, 100, 1.0, 2.0)])
        assert catalog.served.between("live", 2, 2) == (11, 2, 9.0, 30.0)
        assert catalog.served.between("live", 1, 3) == (12, 2, 9.0, 30.0)
        assert catalog.served.between("live", 7, 9) == (0, 0, None, None)
        catalog.served.forget(before=23.0)
        assert catalog.served.between("live", 1, 3).answers == 11

    def test_freeze_holds_until_its_end(self, catalog: Catalog) -> None:
        assert catalog.freezes.of("live") is None
        catalog.freezes.put(Freeze("live", "why", "anna", "2025-01-01", "2025-01-02"))
        assert catalog.freezes.of("live") is None  # its end is long past
        later = Freeze("live", "why", "ben", "2025-01-01")
        catalog.freezes.put(later)
        assert catalog.freezes.of("live") == later
        assert catalog.freezes.lift("live")
        assert not catalog.freezes.lift("live")

    def test_request_for_the_same_move_is_the_same_request(self, catalog: Catalog) -> None:
        asked = catalog.approvals.ask(an_approval())
        assert catalog.approvals.ask(an_approval()) == asked
        other = catalog.approvals.ask(replace(an_approval(), epoch=4))
        assert other.number != asked.number
        said = {"actor": "anna", "decision": "approve", "reason": "", "at": "2025-01-01"}
        done = catalog.approvals.change(asked.number, lambda one: replace(one, state="done", decisions=(said,)))
        assert catalog.approvals.get(asked.number) == done
        assert done.approved_by == ("anna",)
        assert catalog.approvals.all(state="waiting") == [other]
        assert catalog.approvals.ask(an_approval()).number not in (asked.number, other.number)

    def test_notice_waits_in_line_until_it_was_sent(self, catalog: Catalog) -> None:
        catalog.notices.add(["hook", "mail"], {"event": "alert", "text": "größer"}, due=10.0)
        catalog.notices.add([], {"event": "alert"}, due=10.0)
        assert catalog.notices.due(9.0) == []
        first, second = catalog.notices.due(10.0)
        assert (first.channel, second.channel, first.body["text"]) == ("hook", "mail", "größer")
        catalog.notices.tried(first.number, "waiting", due=50.0, error="away")
        catalog.notices.tried(second.number, "sent", due=10.0)
        assert catalog.notices.due(49.0) == []
        [again] = catalog.notices.due(50.0)
        assert (again.attempts, again.error) == (1, "away")
        assert [one.number for one in catalog.notices.all(state="sent")] == [second.number]

    def test_drill_comes_back_as_it_went_in(self, catalog: Catalog) -> None:
        drill = Drill(
            0, "", 2, "two@1", "one@1", "pass", (Phase("switch", 0.5, True, "x", 60.0),), "", "a", "2025", 1.5
        )
        kept = catalog.drills.add(drill)
        assert catalog.drills.all() == [replace(drill, number=kept.number)]
        catalog.drills.add(replace(drill, chaos="disk-full"))
        assert [one.chaos for one in catalog.drills.all(limit=1)] == ["disk-full"]

    def test_first_baseline_of_an_epoch_stands(self, catalog: Catalog) -> None:
        assert catalog.watching.baseline("live", 2) is None
        catalog.watching.keep_baseline("live", 2, "one", {"scores": [0.5]})
        catalog.watching.keep_baseline("live", 2, "one", {"scores": [0.9]})
        catalog.watching.keep_baseline("live", 5, "one", {"scores": [0.7]})
        assert catalog.watching.baseline("live", 2) == {"scores": [0.5]}
        assert catalog.watching.baseline_of("live", "one") == {"scores": [0.7]}
        assert catalog.watching.baseline_of("live", "two") is None

    def test_pushed_values_and_the_memory_of_a_policy_are_kept(self, catalog: Catalog) -> None:
        at = time.time()
        catalog.watching.push([("clicks", 0.5, at - 10), ("clicks", 0.25, at), ("other", 1.0, at)])
        assert catalog.watching.pushed("clicks", at - 20) == [0.5, 0.25]
        assert catalog.watching.pushed("clicks", at - 5) == [0.25]
        catalog.watching.push([("clicks", 9.0, at - 40 * 86400)])
        assert catalog.watching.pushed("clicks", 0) == [0.5, 0.25]
        memory = {"lag": {"epoch": 2, "recent": [[at, "failure", 9.0, 1, "> 5", ""]], "firing": True, "ordered": {}}}
        catalog.watching.remember("live", memory)
        catalog.watching.remember("live", memory)
        assert catalog.watching.memory("live") == memory
        [standing] = catalog.watching.standing("live")
        assert (standing["metric"], standing["phase"], standing["value"]) == ("lag", "failure", 9.0)

    def test_scratch_alias_is_forgotten_and_no_other(self, served: Catalog) -> None:
        served.aliases.move(replace(a_move(), alias="drill-1"))
        served.aliases.drop("drill-1")
        assert served.aliases.get("drill-1") is None
        served.aliases.move(a_move())
        with pytest.raises(UsageError, match="live"):
            served.aliases.drop("live")
        self.assert_chained(served)

    def test_copy_is_a_store_of_its_own_with_everything_in_it(self, served: Catalog, tmp_path: Path) -> None:
        served.aliases.move(a_move())
        served.reports.add(a_report())
        served.notices.add(["hook"], {"event": "alert"}, due=0.0)
        served.copy_to(tmp_path / "copy")
        copy = Catalog(tmp_path / "copy")
        assert (copy.pairs.all(), copy.aliases.history()) == (served.pairs.all(), served.aliases.history())
        assert copy.reports.newest("one") == served.reports.newest("one")
        assert copy.notices.all() == []  # it would be sent twice
        assert copy.store_id != served.store_id
        copy.aliases.move(a_move(expected=1))
        assert served.aliases.get("live") == ("one", 1, 1)
        copy.close()

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

    def test_sound_catalog_finds_nothing_wrong_with_itself(self, served: Catalog) -> None:
        assert served.integrity() == ""
