"""A document that breaks the model costs itself, is told everywhere, and is never passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.cli.support import cli, cli_json, text
from tests.support import models
from vecrollback import Document, Store
from vecrollback.errors import CheckRefusedError, EmbeddingError, EngineLostError, UnknownNameError, UsageError
from vecrollback.records import Effort

TOUCHY, DEADLY = "tests.support.models:touchy", "tests.support.models:deadly"
BAD = {f"d{n}" for n in (3, 77, 78, 250)}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("VECROLLBACK_STORE", str(tmp_path / "store"))
    with vecrollback.connect(tmp_path / "store", create=True) as opened:
        fill(opened, "poison")
        yield opened


def fill(store: Store, word: str) -> None:
    store.upsert([Document(f"d{n}", f"note {n} on {word if f'd{n}' in BAD else 'boats'}") for n in range(300)])


def test_poison_is_isolated_and_the_others_are_embedded(store: Store) -> None:
    job = store.reembed(TOUCHY, name="one")
    assert job.wait().state == "ready"
    given_up = store.unembedded_documents(job.id)
    assert {one.document for one in given_up} == BAD
    assert all("this text breaks the model" in one.reason for one in given_up)
    report = store.check("one")
    [finding] = report.findings
    assert (finding.kind, finding.severity, set(finding.ids)) == ("not_embedded", "unknown", BAD)
    assert report.verdict == "unknown"
    with pytest.raises(CheckRefusedError):
        store.promote("one", reason="they will not be missed")
    store.promote("one", override=True, reason="they will not be missed")
    assert {hit.id for hit in store.search("note boats", k=1000).hits} == {f"d{n}" for n in range(300)} - BAD


def test_what_was_given_up_is_recorded_and_not_tried_again_by_itself(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.reembed(TOUCHY, name="one")
    job.wait()
    monkeypatch.setenv(models.LOG, str(tmp_path / "log"))
    assert store.catch_up("one").embedded == 0
    assert not (tmp_path / "log").exists() or " 1\n" not in (tmp_path / "log").read_text()
    shown = cli_json("jobs", "show", job.id)
    assert {one["document"] for one in shown["unembedded"]} == BAD
    assert shown["state"] == "done"
    said = text("jobs", "show", job.id)
    assert "this text breaks the model" in said
    assert "d250" in said


def test_a_new_text_or_a_repair_mends_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = store.reembed(TOUCHY, name="one")
    job.wait()
    store.upsert([Document(id_, f"note {id_} is well now") for id_ in sorted(BAD - {"d3"})])
    store.delete(["d3"])
    store.catch_up("one")
    assert store.check("one").verdict == "pass"
    store.upsert([Document("d3", "note 3 on poison")])
    store.catch_up("one")
    assert ("d3", 305) in [(one.document, one.seq) for one in store.resources.catalog.embedding.without(pair="one")]
    report = store.check("one")
    assert report.verdict == "unknown"
    assert store.repair(report).verdict == "unknown"  # it still breaks the model
    monkeypatch.setenv(models.CURED, "1")
    assert store.repair(report).verdict == "pass"


def test_what_is_accepted_by_name_overrides_nothing_else(store: Store) -> None:
    store.reembed(TOUCHY, name="one").wait()
    some = sorted(BAD - {"d3"})
    accepted = store.accept("one", some, reason="nobody asks for these", actor="anna")
    assert [one.document for one in accepted] == some
    assert {(one.acceptance.actor, one.acceptance.reason) for one in accepted if one.acceptance} == {
        ("anna", "nobody asks for these")
    }
    report = store.check("one")
    assert {one.kind: (one.severity, set(one.ids)) for one in report.findings} == {
        "not_embedded": ("unknown", {"d3"}),
        "accepted": ("warn", set(some)),
    }
    with pytest.raises(CheckRefusedError):
        store.promote("one", reason="d3 was not accepted")
    store.accept("one", ["d3"], reason="nor for this")
    assert store.check("one").verdict == "pass"
    store.promote("one")
    assert "4 documents accepted without a vector" in store.situation().line("proof").sentence
    audited = store.resources.catalog.audits.all(actor="anna")
    assert [(one.action, one.subject) for one in audited] == [
        ("document.accept", "one: d250, d77, d78 (nobody asks for these)")
    ]


def test_an_accepted_document_is_examined_again_when_it_changes_or_somebody_thinks_better_of_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.reembed(TOUCHY, name="one").wait()
    store.accept("one", sorted(BAD), reason="nobody asks for these")
    store.withdraw_acceptance("one", ["d77"])
    [unknown] = [one for one in store.check("one").findings if one.severity == "unknown"]
    assert unknown.ids == ("d77",)
    store.accept("one", ["d77"], reason="after all")
    store.upsert([Document("d3", "another note 3 on poison"), Document("d78", "note 78 is well now")])
    store.catch_up("one")
    assert {one.kind: set(one.ids) for one in store.check("one").findings} == {
        "not_embedded": {"d3"},
        "accepted": {"d77", "d250"},
    }
    # Somebody else's damage to the same pair is not covered by what was accepted.
    with pytest.raises(UnknownNameError, match="no document 'd1' that its model could not embed"):
        store.accept("one", ["d1"], reason="it has a vector")
    for documents, reason in ((["d77"], " "), ([], "nothing is named")):
        with pytest.raises(UsageError):
            store.accept("one", documents, reason=reason)
    monkeypatch.setenv(models.CURED, "1")
    assert store.repair(store.check("one")).verdict == "pass"
    assert {one.document for one in store.unembedded_documents(pair="one") if one.acceptance} >= {"d77", "d250"}


def test_a_stale_vector_of_a_text_that_became_poison_is_told(store: Store) -> None:
    store.delete(sorted(BAD))
    store.promote(store.reembed(TOUCHY, name="one").wait(), reason="a test")
    store.upsert([Document("d5", "note 5 on poison")])
    store.catch_up("one")
    [finding] = store.check("one").findings
    assert (finding.kind, finding.ids) == ("not_embedded", ("d5",))
    [hit] = [hit for hit in store.search("note 5 boats", k=1000).hits if hit.id == "d5"]
    assert hit.stale


def test_a_model_that_is_down_stops_the_job_and_gives_nothing_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(models.DOWN, str(tmp_path / "down"))
    job = store.reembed(TOUCHY, name="one")
    (tmp_path / "down").touch()
    with pytest.raises(EmbeddingError, match="the service is down"):
        job.wait()
    assert not store.unembedded_documents(job.id)
    assert job.status().state == "failed"
    (tmp_path / "down").unlink()
    assert store.reembed(TOUCHY, name="one").wait().state == "ready"
    assert {one.document for one in store.unembedded_documents(job.id)} == BAD


def test_a_model_that_fails_over_most_texts_stops_the_job(store: Store) -> None:
    store.upsert([Document(f"d{n}", f"note {n} on poison") for n in range(60)])
    with pytest.raises(EmbeddingError, match="texts cannot be embedded"):
        store.reembed(TOUCHY, name="one").wait()


def test_a_text_that_kills_the_process_is_isolated_by_workers(store: Store) -> None:
    store.upsert([Document(f"d{n}", f"note {n} on a lethal thing") for n in (3, 77)])
    store.delete(["d78", "d250"])
    job = store.reembed(DEADLY, name="one", effort=Effort("local:2"))
    assert job.wait().state == "ready"
    given_up = store.unembedded_documents(job.id)
    assert {one.document for one in given_up} == {"d3", "d77"}
    assert all("SIGSEGV" in one.reason for one in given_up)
    assert store.check("one").verdict == "unknown"


def test_workers_that_die_over_everything_end_the_job(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecrollback.reembedding.dispatch.Dispatch._known_good", lambda _: "a lethal text")
    store.upsert([Document("d3", "note 3 on a lethal thing")])
    with pytest.raises(EngineLostError, match="known to be good"):
        store.reembed(DEADLY, name="one", effort=Effort("local:1")).wait()


def test_the_command_line_tells_how_many_were_given_up(store: Store) -> None:
    done = cli("reembed", TOUCHY, "--name", "one")
    assert done.exit_code == 0
    assert "4 documents could not be embedded" in done.stdout
