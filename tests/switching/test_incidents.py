"""Every rollback leaves a record of when, why, what was answered meanwhile and what proved it; and needs none.

Covers serving.answer_counts, switching.incidents.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import V1, V2, prepare_releases, words
from tests.support.postgres import PostgresServer
from vecrollback import Document, Store
from vecrollback.errors import PairStateError, UsageError
from vecrollback.records import MoveRequest
from vecrollback.switching.incidents.markdown import markdown


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    prepare_releases(root, 40)
    return root


def test_a_rollback_opens_an_incident_with_the_whole_timeline(store: Store) -> None:
    store.rollback(reason="worse answers", actor="anna")
    [incident] = store.incidents.all()
    assert (incident.source, incident.target, incident.kind) == ("v2@1", "v1@1", "rollback")
    assert (incident.reason, incident.actor, incident.state) == ("worse answers", "anna", "open")
    known = incident.timeline
    assert known.detected is None  # nobody noted a first sign
    times = [known.began, known.decided, known.switched, known.acknowledged, known.caught_up, known.verified]
    assert all(times)
    assert times == sorted(times)  # type: ignore[type-var]
    assert incident.verdict == "pass"
    assert incident.lag == 3
    paper = store.incidents.paper(incident.number)
    written = re.findall(r"^\| (20[^ ]+) \| [+-]", paper, re.MULTILINE)
    assert len(written) == 5
    assert written == sorted(written)  # by the clock
    assert "searcher followed" not in paper  # there was none


def test_the_switch_alone_is_completed_by_whoever_catches_up_and_checks(store: Store) -> None:
    store.rollback(reason="worse answers", catch_up=False)
    [before] = store.incidents.all()
    assert (before.timeline.caught_up, before.timeline.verified, before.verdict) == (None, None, None)
    store.catch_up("v1", advance=False)
    store.check("v1")
    [after] = store.incidents.all()
    assert after.timeline.caught_up is not None
    assert (after.verdict, after.timeline.verified) == ("pass", store.report("v1").at)  # type: ignore[union-attr]


def test_a_planned_restore_counts_no_answer_as_a_bad_one(store: Store) -> None:
    with store.searcher() as searcher:
        for _ in range(3):
            searcher.search("apples")
        store.restore("v1@1", reason="as it was on Monday", planned=True)
        searcher.search("apples")
    [incident] = store.incidents.all()
    assert (incident.nature, incident.blast.answers, incident.verdict) == ("planned", 0, "pass")
    assert "This move was planned" in markdown(incident)
    known = store.incidents.performance()
    assert (known.rollbacks, known.answers_by_bad_pairs, known.mttd_seconds, known.open_incidents) == (1, 0, None, ())


def test_a_false_alarm_is_closed_as_one_and_its_answers_were_good(store: Store) -> None:
    with store.searcher() as searcher:
        for _ in range(3):
            searcher.search("apples")
        store.rollback(reason="looked worse")
    [incident] = store.incidents.all()
    assert (incident.nature, incident.blast.answers) == ("failure", 3)
    assert store.incidents.performance().answers_by_bad_pairs == 3
    store.incidents.close(incident.number, cause="the monitor was wrong", actor="anna", nature="false_alarm")
    [closed] = store.incidents.all()
    assert (closed.nature, closed.blast.answers, closed.notes["answers"]) == (
        "false_alarm",
        0,
        "3 of pair v2, none of them bad",
    )
    assert "false alarm" in markdown(closed)
    assert store.incidents.performance().answers_by_bad_pairs == 0


def test_answers_of_the_bad_pair_are_counted_over_all_its_epochs(store: Store) -> None:
    with store.searcher() as searcher:
        for _ in range(3):
            searcher.search("apples")
        store.catch_up("v2")
        store.snapshot("v2")  # the alias advances: another epoch of the same pair
        searcher.search(["one", "two"])
        store.rollback(reason="worse answers")
        searcher.search("after")
    [incident] = store.incidents.all()
    assert (incident.blast.pair, incident.blast.answers, incident.blast.searchers) == ("v2", 5, 1)
    assert incident.blast.last_epoch == incident.epoch - 1
    assert incident.blast.first_epoch < incident.blast.last_epoch
    assert incident.blast.since is not None


def test_completing_one_reads_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing completes each that is open, so reading all for each would take a time that grows by its square."""
    for _ in range(2):
        store.rollback(reason="worse answers")
        store.promote("v2", override=True, reason="again")
    newest = store.incidents.all()[0]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("all incidents are read")

    monkeypatch.setattr(type(store.resources.catalog.incidents), "all", refuse)
    store.incidents.complete(newest, ask=True)


def test_answers_from_many_threads_are_all_counted(store: Store) -> None:
    with store.searcher() as searcher:
        threads = [threading.Thread(target=lambda: [searcher.search("pears") for _ in range(25)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    store.rollback(reason="worse answers")
    assert store.incidents.all()[0].blast.answers == 200


def test_the_failed_snapshot_is_kept_by_a_tag(store: Store) -> None:
    store.rollback(reason="worse answers")
    [incident] = store.incidents.all()
    assert store.tags()[incident.archived] == "v2@1"
    store.snapshot("v2", rebuild=True)
    with pytest.raises(PairStateError, match=incident.archived):
        store.delete_snapshot("v2@1")


def test_probe_queries_are_answered_as_when_the_snapshot_was_taken(store: Store) -> None:
    store.rollback(reason="worse answers")
    check = store.incidents.all()[0].post_check
    assert check is not None
    assert (check.queries, check.same, check.overlap) == (16, 16, 1.0)
    assert (check.quality, check.quality_before, check.quality_left) == (None, None, None), "nothing is golden"


def test_a_rollback_whose_process_died_after_the_move_has_an_incident_all_the_same(store: Store) -> None:
    store._parts.switch.rollback(None, _order("cut off"))
    [incident] = store.incidents.all()
    assert (incident.reason, incident.source, incident.switch_ms) == ("cut off", "v2@1", None)
    assert incident.archived
    assert len(store.incidents.all()) == 1


def test_an_incident_that_a_watcher_opened_from_the_history_loses_nothing(store: Store) -> None:
    done = store._parts.switch.rollback(None, _order("worse answers"))
    assert store.incidents.all()[0].searchers is None
    store.incidents.open(done, decided="2026-01-31T12:00:00.000000+00:00", trigger={"metrics": []})
    [incident] = store.incidents.all()
    assert (incident.searchers, incident.switch_ms) == (done.searchers, done.switch_ms)
    assert (incident.timeline.decided, incident.trigger) == ("2026-01-31T12:00:00.000000+00:00", {"metrics": []})


def test_searchers_give_signs_of_life_while_their_answers_cannot_be_counted(root: Path) -> None:
    with sqlite3.connect(root / "catalog.db") as connection:
        connection.execute("DROP TABLE served")
    with vecrollback.connect(root) as store, store.searcher() as searcher:
        searcher.search("apples")
        _await_searcher(store)


def test_a_post_check_that_cannot_be_made_leaves_the_rest_of_the_incident(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    [snapshot] = store.snapshots("v1")
    done = store.rollback(reason="worse answers", catch_up=False)
    store.check("v1")
    (store.root / "artifacts" / store.pair("v1").probes).unlink()
    with vecrollback.connect(store.root) as fresh:
        fresh.incidents.settle_all(ask=True)
        incident = fresh.incidents.get(1)
    assert (incident.verdict, incident.post_check) == ("pass", None)
    assert snapshot.ref == done.target


def test_a_closed_incident_changes_no_more(store: Store) -> None:
    store.rollback(reason="worse answers", catch_up=False)
    with pytest.raises(UsageError):
        store.incidents.close(1, cause=" ", actor="anna")
    with pytest.raises(UsageError, match="not a valid time"):
        store.incidents.close(1, cause="a bad model", actor="anna", detected="yesterday")
    closed = store.incidents.close(1, cause="a bad model", actor="anna", detected="2026-01-31T12:00:00+01:00")
    assert closed.timeline.detected == "2026-01-31T11:00:00.000000+00:00"
    assert (closed.notes["cause"], closed.notes["closed_by"]) == ("a bad model", "anna")
    store.check("v1")
    assert store.incidents.get(1) == closed
    with pytest.raises(UsageError, match="closed already"):
        store.incidents.close(1, cause="another", actor="anna")


def test_a_restore_of_older_data_opens_an_incident_too(store: Store) -> None:
    store.restore("v1@1", reason="the index is damaged")
    [incident] = store.incidents.all()
    assert (incident.kind, incident.source, incident.target) == ("restore", "v2@1", "v1@1")


def test_the_report_counts_what_happened_and_says_nothing_of_what_did_not(store: Store) -> None:
    before = store.incidents.performance(days=30)
    assert (before.rollbacks, before.success_rate, before.mttd_seconds, before.drill_rate) == (0, None, None, None)
    store.rollback(reason="worse answers")
    after = store.incidents.performance(days=30)
    assert (after.rollbacks, after.success_rate, after.open_incidents) == (1, 1.0, (1,))
    assert after.mttd_seconds is not None
    assert after.mttr_seconds is not None
    assert (after.promotes, after.drilled_rate) == (1, 0.0)
    assert store.incidents.performance(days=0).rollbacks == 0


def test_the_export_leaves_blanks_where_only_people_know(store: Store) -> None:
    store.rollback(reason="worse | answers")
    store.incidents.all()
    text = markdown(store.incidents.get(1))
    assert "# Incident 1: v2@1 to v1@1" in text
    assert "worse \\| answers" in text
    assert text.count("_to fill in_") >= 6
    assert "Check of v1@1: pass." in text
    assert "16 of 16 answered as when the snapshot was taken" in text


def test_the_paper_says_in_two_sentences_what_was_overridden_who_was_told_and_which_queries_failed(
    store: Store,
) -> None:
    (store.root / "vecrollback.toml").write_text(
        "[gates]\npromote = ['ndcg@10 >= 0.9']\n[[policy.notify]]\nkind = 'command'\ncommand = ['true']\n"
    )
    store.promote("v1", reason="in a hurry", override=True)
    store.rollback(to="v2", reason="worse | answers", override=True)
    store.golden.add("where do ships leave", ["d1"], tags=["incident-1"])
    paper = store.incidents.paper(1)
    _, _, summary, *_ = paper.splitlines()
    assert "from v1@1 to v2@1" in summary
    assert "worse \\| answers." in summary
    assert "answers of v1 had been given by then; the check after it passed." in summary
    assert "## Gates that were overridden" in paper
    assert "| ndcg@10 >= 0.9 | unknown |" in paper
    assert "| rollback |" in paper.partition("## Who was told")[2]
    assert "- where do ships leave (expected d1)" in paper
    store.incidents.close(1, cause="none", actor="anna", nature="false_alarm")
    assert "It was a false alarm" in store.incidents.paper(1)


def _order(reason: str) -> MoveRequest:
    return MoveRequest(reason, "somebody")


def _await_searcher(store: Store) -> None:
    deadline = time.monotonic() + 10
    while not store.status()["searchers"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_locked_incident_table_holds_up_neither_rollback_nor_searchers(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.url()
    with vecrollback.connect(tmp_path, catalog=url, create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(20)])
        for name, embedder in (("v1", V1), ("v2", V2)):
            store.promote(store.reembed(embedder, name=name).wait(), reason="a release")
        with store.searcher() as searcher, store.resources.catalog._database.engine.connect() as locking:
            searcher.search("apples")
            _await_searcher(store)
            locking.exec_driver_sql("LOCK TABLE incident, served IN ACCESS EXCLUSIVE MODE")
            searcher.search("apples")
            done = store.rollback(reason="worse answers", catch_up=False)
            assert (done.searchers.expected, done.searchers.missing) == (1, ())
            assert "lock timeout" in done.trouble
            locking.rollback()
            store.catch_up("v1")
        [incident] = store.incidents.all()  # what could not be written then is read from the history
        assert (incident.source, incident.target) == ("v2@1", "v1@1")
