"""What every catalog promises of its entries: pairs, snapshots, the corpus ledger, jobs, searchers, reports."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from vecrollback.catalog import CORPUS, Catalog, vectors_table
from vecrollback.catalog import schema as tables
from vecrollback.errors import HeadMovedError, PairStateError, UnknownNameError
from vecrollback.records import AliasTarget, CorpusState, JobState, SearcherRecord
from vecrollback.testing.catalog_records import EMPTY, a_move, a_pair, a_report, a_snapshot, assert_chained

_SPAWN = multiprocessing.get_context("spawn")


class CatalogEntries:
    """A part of `CatalogConformance`, whose fixtures it uses."""

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

    def test_new_snapshot_is_served_from_and_aliases_follow_with_a_move(self, live_catalog: Catalog) -> None:
        live_catalog.aliases.move(a_move(snapshot=2))
        live_catalog.pairs.add_snapshot(a_snapshot(number=3))
        assert live_catalog.pairs.get("one").ref == "one@3"
        assert live_catalog.aliases.get("live") == AliasTarget("one", 3, 2)
        assert live_catalog.aliases.history()[0].kind == "advance"
        assert_chained(live_catalog)
        with pytest.raises(sa.exc.IntegrityError):
            live_catalog.pairs.add_snapshot(a_snapshot(number=3))
        assert live_catalog.aliases.get("live") == AliasTarget("one", 3, 2)

    def test_snapshot_is_found_by_its_ref_its_pair_and_its_tag(self, live_catalog: Catalog) -> None:
        live_catalog.pairs.set_tag("before-launch", a_snapshot(number=1))
        for ref, number in (("one@1", 1), ("one", 2), ("before-launch", 1)):
            assert live_catalog.pairs.find_snapshot(ref) == a_snapshot(number=number)
        for unknown in ("one@3", "two", "two@1", "one@", "@1", ""):
            with pytest.raises(UnknownNameError):
                live_catalog.pairs.find_snapshot(unknown)

    def test_held_snapshot_is_not_deleted_and_the_holder_is_named(self, live_catalog: Catalog) -> None:
        live_catalog.pairs.set_tag("kept", a_snapshot(number=1))
        with pytest.raises(PairStateError, match="tag 'kept'"):
            live_catalog.pairs.delete_snapshot(a_snapshot(number=1))
        with pytest.raises(PairStateError, match="pair 'one'"):
            live_catalog.pairs.delete_snapshot(a_snapshot(number=2))
        live_catalog.pairs.delete_tag("kept")
        live_catalog.aliases.move(a_move(snapshot=1))
        with pytest.raises(PairStateError, match="alias 'live'"):
            live_catalog.pairs.delete_snapshot(a_snapshot(number=1))
        live_catalog.aliases.move(a_move(expected=1, snapshot=2))
        live_catalog.pairs.delete_snapshot(a_snapshot(number=1))
        assert live_catalog.pairs.snapshots("one") == [a_snapshot(number=2)]

    def test_tag_moves_and_goes(self, live_catalog: Catalog) -> None:
        live_catalog.pairs.set_tag("kept", a_snapshot(number=1))
        live_catalog.pairs.set_tag("kept", a_snapshot(number=2))
        assert live_catalog.pairs.tags() == {"kept": ("one", 2)}
        live_catalog.pairs.delete_tag("kept")
        with pytest.raises(UnknownNameError):
            live_catalog.pairs.delete_tag("kept")

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

    def test_job_that_another_process_runs_stays_its_own(self, catalog: Catalog) -> None:
        def elsewhere(**values: object) -> None:
            with catalog._database.write() as connection:
                mine = tables.runner.update().where(tables.runner.c.job == job)
                connection.execute(mine.values(host="elsewhere", **values))

        job = catalog.jobs.start("catch-up", "one").id
        catalog.jobs.cancel(job)
        elsewhere()
        other = catalog.jobs.start("catch-up", "one").id
        assert other != job
        assert catalog.jobs.report(job, {}), "it is still to stop"
        catalog.jobs.finish(other, "done")
        assert catalog.jobs.get(job).state == "running"
        elsewhere(heartbeat=0.0)
        assert catalog.jobs.get(job).state == "lost"
        assert catalog.jobs.start("catch-up", "one").id == job, "nobody runs it any more"

    # -- searchers ----------------------------------------------------------------------------------------------------

    def test_searcher_is_alive_until_it_leaves_dies_or_falls_silent(self, catalog: Catalog) -> None:
        here = SearcherRecord("r1", "live", socket.gethostname(), os.getpid(), 3, ("one@1", "two@1"), 0.0)
        catalog.searchers.announce(here)
        found = catalog.searchers.alive("live")[0]
        assert replace(found, heartbeat=0.0) == here
        assert abs(found.heartbeat - time.time()) < 5
        catalog.searchers.announce(replace(here, epoch=4))
        assert [searcher.epoch for searcher in catalog.searchers.alive("live")] == [4]
        assert catalog.searchers.alive("candidate") == []
        process = _SPAWN.Process(target=time.sleep, args=(0,))
        process.start()
        process.join()
        assert process.pid
        catalog.searchers.announce(replace(here, id="dead", pid=process.pid))
        catalog.searchers.announce(replace(here, id="far", host="elsewhere", pid=process.pid))
        assert {searcher.id for searcher in catalog.searchers.registered("live")} == {"r1", "far"}
        self._age(catalog, "far", 60)
        assert {searcher.id for searcher in catalog.searchers.alive("live")} == {"r1"}
        assert {searcher.id for searcher in catalog.searchers.registered("live")} == {"r1", "far"}
        self._age(catalog, "far", 7200)
        catalog.searchers.announce(replace(here, id="r2"))
        catalog.searchers.leave("r2")
        assert {searcher.id for searcher in catalog.searchers.registered("live")} == {"r1"}, "long gone, so forgotten"
        catalog.searchers.leave("r1")
        catalog.searchers.leave("r1")
        assert catalog.searchers.registered("live") == []

    def _age(self, catalog: Catalog, id_: str, seconds: float) -> None:
        with catalog._database.write() as connection:
            old = tables.searcher.update().where(tables.searcher.c.id == id_).values(heartbeat=time.time() - seconds)
            connection.execute(old)

    # -- reports ------------------------------------------------------------------------------------------------------

    def test_newest_report_decides(self, live_catalog: Catalog) -> None:
        assert live_catalog.reports.newest("one") is None
        for verdict in ("pass", "fail", "unknown"):
            live_catalog.reports.add(a_report(verdict))
            assert live_catalog.reports.verdicts() == {"one": verdict}
        assert live_catalog.reports.newest("one") == a_report("unknown")
        live_catalog.reports.add(replace(a_report(), certificate=None, findings=()))
        assert live_catalog.reports.newest("one") == replace(a_report(), certificate=None, findings=())

    def test_equivalence_holds_both_ways(self, catalog: Catalog) -> None:
        catalog.equivalences.declare("b", "a", cosine=0.99999, actor="somebody")
        catalog.equivalences.declare("a", "b", cosine=0.99998, actor="somebody")
        assert catalog.equivalences.of("a") == catalog.equivalences.of("b") == {"a", "b"}
        assert catalog.equivalences.of("c") == {"c"}
