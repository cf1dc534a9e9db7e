"""One situation, told everywhere: what is wrong is told in its line, with the next command; what cannot be seen is not
well.

Covers store.situation.
"""

from __future__ import annotations

import datetime as dt
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import prepare_releases
from vecrollback import Document, Situation, SituationLine, Store
from vecrollback.cli.support.commands import NAMES
from vecrollback.records import LINES, Drill
from vecrollback.store import situation as situation_module


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v2 is live, v1 stands by; both lack three changes of 43."""
    root = tmp_path_factory.mktemp("template") / "store"
    prepare_releases(root, 40)
    return root


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """The file system has room, whatever is left on the machine of this test; `room(bytes)` says how much."""

    def leave(free: int) -> None:
        usage = shutil._ntuple_diskusage(100 * 2**30, 100 * 2**30 - free, free)  # type: ignore[attr-defined]
        monkeypatch.setattr(situation_module.shutil, "disk_usage", lambda _: usage)

    leave(50 * 2**30)
    yield leave


def make_well(store: Store) -> None:
    """Do what a team does: catch up, check, rehearse, and be served by a searcher."""
    for pair in ("v1", "v2"):
        store.catch_up(pair)
        store.check(pair)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    store.resources.catalog.drills.add(Drill(0, "", 2, "v2@1", "v1@1", "pass", (), "", "anna", now, 1.0))


def line(store: Store, name: str) -> SituationLine:
    return store.situation().line(name)


def test_well_is_said_only_when_all_of_it_is(store: Store) -> None:
    assert store.situation().verdict != "Well"
    make_well(store)
    seen = store.situation()
    assert {one.name: one.state for one in seen.lines} == dict.fromkeys(LINES, "ok")
    assert (seen.verdict, seen.state, seen.open_lines) == ("Well", "ok", ())
    store.freezes.freeze("release day", actor="anna")
    frozen = store.situation()
    assert frozen.verdict == "Look at it"
    assert frozen.sentence == "Look at it: freeze: anna holds automation back: release day"
    assert frozen.line("freeze").command == "vecrollback unfreeze"


@pytest.mark.parametrize("state", ["note", "alert", "unknown"])
def test_one_line_that_is_not_ok_takes_the_word_well_away(state: str) -> None:
    lines = [SituationLine(name, "ok", "fine") for name in LINES]
    lines[3] = SituationLine(LINES[3], state, "not fine")  # type: ignore[arg-type]
    seen = Situation("2026-01-01T00:00:00+00:00", tuple(lines))
    assert seen.verdict != "Well"
    assert [one.name for one in seen.open_lines] == [LINES[3]]
    assert "not fine" in seen.sentence


def test_something_wrong_is_worse_than_something_unknown_and_nothing_known_is_not_well() -> None:
    def of(*states: str) -> Situation:
        return Situation("", tuple(SituationLine("x", state, "") for state in states))  # type: ignore[arg-type]

    assert of("ok", "unknown", "alert").verdict == "Not well"
    assert of("note", "unknown").verdict == "Not known"
    assert of().verdict == "Not known"


def test_an_empty_store_says_what_to_do_first(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        assert line(store, "live").command.startswith("vecrollback reembed")
        assert line(store, "live").state == "alert"
        store.upsert([Document("a", "tea")])
        store.promote(store.reembed("hash:16", name="only").wait(), reason="first")
        assert "the only pair" in line(store, "way back").sentence


def test_a_pair_that_failed_its_check_is_an_alert(store: Store) -> None:
    catalog = store.resources.catalog
    report = store.check("v2")
    with sqlite3.connect(store.root / "catalog.db") as database:
        database.execute("update report set verdict = 'fail' where pair = 'v2'")
    found = line(store, "proof")
    assert found.state == "alert"
    assert report.at[:16] in found.sentence
    assert found.command == "vecrollback rollback --dry-run"
    with sqlite3.connect(store.root / "catalog.db") as database:
        database.execute("delete from report")
    assert (line(store, "proof").state, line(store, "proof").command) == ("note", "vecrollback check")
    assert catalog.reports.newest("v2") is None


def test_nowhere_to_go_back_to_says_why_of_each_pair(store: Store) -> None:
    store.rollback(reason="worse answers")
    found = line(store, "way back")
    assert found.state == "alert"
    assert "quarantined (worse answers)" in found.sentence


def test_gates_that_were_overridden_stand_in_it(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store.root / "vecrollback.toml").write_text('[gates]\npromote = ["ndcg@10 >= 0.99"]\n')
    store.reembed("hash:32", name="v3").wait()
    store.promote("v3", reason="it has to be tonight", override=True)
    found = line(store, "gates")
    assert found.state == "note"
    assert "v3 was promoted by --override past 1 gate: ndcg@10 >= 0.99" in found.sentence


def test_a_canary_an_approval_and_an_incident_have_their_lines(store: Store) -> None:
    make_well(store)
    store.reembed("hash:32", name="v3").wait()
    store.check("v3")
    store.canaries.start("v3", reason="to be tried")
    assert line(store, "canary").sentence.startswith("v3 is tried")
    assert line(store, "canary").command == "vecrollback canary status"
    store.canaries.stop(reason="enough")
    request = store.approvals.ask("rollback", None, reason="worse answers", actor="policy")
    waiting = line(store, "approvals")
    assert (waiting.state, waiting.command) == ("alert", f"vecrollback approve {request.number}")
    assert "worse answers" in waiting.sentence
    store.rollback(reason="worse answers", catch_up=False)
    assert line(store, "approvals").state == "ok"  # it was asked of an epoch that is over
    assert line(store, "incidents").state == "alert"
    store.check("v1")
    store.incidents.all()
    proved = line(store, "incidents")
    assert (proved.state, proved.command) == ("note", "vecrollback incident close 1 --cause 'what it was'")
    store.incidents.close(1, cause="prompts were missing", actor="anna")
    assert line(store, "incidents").state == "ok"


def test_a_policy_that_nobody_runs_that_fails_or_that_is_blind_is_an_alert(store: Store) -> None:
    assert line(store, "policy").state == "ok"
    (store.root / "vecrollback.toml").write_text("[policy]\nblind_rounds = 2\nmetric = [{source = 'health'}]\n")
    assert line(store, "policy").sentence == "a policy is set, and nothing was measured yet"

    def measured(phase: str, *, blind: int = 0, said: str = "") -> SituationLine:
        recent = [[time.time(), phase, None, 0, "< 1", said]]
        body = {"epoch": 2, "firing": False, "blind": blind, "blind_told": False, "ordered": {}, "recent": recent}
        store.measurements.remember("live", {"health": body})
        return line(store, "policy")

    assert measured("success").state == "ok"
    assert measured("inconclusive", blind=1, said="no query").state == "note"
    assert measured("inconclusive", blind=2, said="no query").state == "alert"
    assert "health could not be measured 2 times in a row: no query" in line(store, "policy").sentence
    assert measured("failure").command == "vecrollback rollback --dry-run"


def test_a_metric_that_an_alert_called_blind_has_that_phase_until_it_can_be_measured_again(store: Store) -> None:
    recent = [[time.time(), "inconclusive", None, 0, "< 1", "no query"]]
    body = {"epoch": 2, "firing": False, "blind": 30, "blind_told": True, "ordered": {}, "recent": recent}
    store.measurements.remember("live", {"health": body})
    [standing] = store.measurements.standing("live")
    assert (standing["phase"], standing["said"]) == ("blind", "no query")
    store.measurements.remember("live", {"health": body | {"blind": 0, "blind_told": False}})
    assert store.measurements.standing("live")[0]["phase"] == "inconclusive"


def test_a_job_that_failed_a_drill_that_failed_and_a_notice_that_cannot_be_sent(store: Store) -> None:
    catalog = store.resources.catalog
    job = catalog.jobs.start("catch-up", "v2")
    catalog.jobs.finish(job.id, "failed", "the service is down")
    assert (line(store, "jobs").state, line(store, "jobs").command) == ("alert", "vecrollback jobs list")
    assert "the service is down" in line(store, "jobs").sentence
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    catalog.drills.add(Drill(0, "", 2, "v2@1", "v1@1", "fail", (), "no searcher", "anna", now, 1.0))
    assert line(store, "drills").state == "alert"
    notify = "notify = [{kind = 'command', command = ['false']}]\n"
    (store.root / "vecrollback.toml").write_text(f"[policy]\n{notify}")
    store.notices.tell("alert", "something")
    store.notices.send_due()
    stuck = line(store, "notices")
    assert stuck.state == "alert"
    assert "command-1" in stuck.sentence


def test_a_full_disk_and_a_folder_that_cannot_be_written(store: Store, room: Callable[[int], None]) -> None:
    room(2**29)
    assert line(store, "storage").state == "alert"
    room(5 * 2**30)
    assert line(store, "storage").state == "note"
    assert line(store, "storage").command == "vecrollback prune --dry-run"


def test_what_cannot_be_looked_at_is_unknown_and_the_rest_is_told(store: Store) -> None:
    (store.root / "vecrollback.toml").write_text("[policy]\nintervall = 3\n")
    with sqlite3.connect(store.root / "catalog.db") as database:
        database.execute("alter table freeze rename to gone")
    seen = store.situation()
    assert seen.line("policy").state == "unknown"
    assert "intervall" in seen.line("policy").sentence
    assert seen.line("freeze").state == "unknown"
    assert seen.line("live").state == "note"
    assert seen.line("storage").state == "ok"
    assert seen.verdict == "Not known"


def test_a_catalog_that_is_gone_leaves_a_situation_all_the_same(store: Store) -> None:
    (store.root / "catalog.db").rename(store.root / "elsewhere.db")
    for more in ("-wal", "-shm"):
        (store.root / f"catalog.db{more}").unlink(missing_ok=True)
    store.resources.catalog.close()
    seen = store.situation()
    without_a_catalog = ("policy", "notices", "storage")  # no policy is set, so the catalog is not asked for them
    assert {one.state for one in seen.lines if one.name not in without_a_catalog} == {"unknown"}
    assert all(one.sentence for one in seen.lines)


def test_looking_changes_nothing(store: Store) -> None:
    """The catalog is the same, byte for byte: a page that asks every second must not write."""
    store.rollback(reason="worse answers", catch_up=False)
    store.approvals.ask("rollback", None, reason="again", actor="policy")

    def rows() -> list[str]:
        with sqlite3.connect(store.root / "catalog.db") as database:
            return list(database.iterdump())

    before = rows()
    store.situation()
    assert rows() == before


def test_every_command_that_it_names_is_one() -> None:
    named = re.findall(r'"vecrollback ([a-z-]+)', Path(situation_module.__file__).read_text())
    assert len(named) > 10
    assert set(named) <= set(NAMES)
