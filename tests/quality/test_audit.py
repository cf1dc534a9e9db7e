"""Audits of pairs: what another model wrote is found, repaired and certified, whatever the metadata says.

Covers quality.pair_population.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.cli.support import cli_json, text
from tests.quality.test_check import plant
from tests.support.operations import EVERY_ROW
from vecrollback import Document, Progress, Report, Store
from vecrollback.embedders import open_embedder
from vecrollback.errors import UsageError

OWN, OTHER = "hash:64?seed=1", "hash:64?seed=2"
WORDS = ("boat", "train", "harbour", "valley", "engine", "ledger", "glacier", "orchard", "signal", "winter", "copper")
FOREIGN = [f"d{n}" for n in range(40, 70)]


def words(n: int) -> str:
    return " ".join(np.random.default_rng(n).choice(WORDS, 12)) + f" number {n}"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """900 documents; pair `one` is live, `two` of another model stands beside it."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(900)])
        store.reembed(OWN, name="one", index="Flat").wait()
        store.reembed(OTHER, name="two", index="Flat").wait()
        store.promote("one")
    return root


def infiltrate(store: Store, spec: str = OTHER, ids: list[str] = FOREIGN) -> None:
    """As a worker that was left behind with another model: all else about its rows is right, fingerprint included."""
    made = open_embedder(spec).embed_documents([words(int(id_[1:])) for id_ in ids])
    plant(store, dict(zip(ids, made, strict=True)))


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def test_an_option_that_audit_does_not_have_is_refused_before_anything_is_read(store: Store) -> None:
    before = store.report("one")
    with pytest.raises(UsageError, match="audit has no option 'buget'; did you mean 'budget'") as refused:
        store.audit("one", buget=3)  # type: ignore[call-arg]
    assert "suspects" in refused.value.hint
    assert store.report("one") == before


def test_audit_finds_every_row_that_lies_about_its_model_and_names_who_wrote_it(store: Store) -> None:
    infiltrate(store)
    report = store.audit("one", seed=1)
    assert (report.verdict, kinds(report)) == ("fail", {"foreign_vector"})
    assert set(report.ids("foreign_vector")) == set(FOREIGN)
    assert "two made 100%" in report.findings[0].message
    assert report.certificate is not None
    assert report.certificate.bound <= 0.001
    assert store.report("one") == report


def test_repair_rewrites_what_the_audit_found_and_keeps_its_certificate(store: Store, root: Path) -> None:
    infiltrate(store)
    before = store.audit("one", seed=1)
    after = store.repair(before)
    assert after.verdict == "pass"
    assert after.certificate == before.certificate
    assert store.report("one") == after
    assert store.check("one", sample=EVERY_ROW).verdict == "pass"
    assert store.audit("one", seed=2).verdict == "pass"


@pytest.mark.parametrize("mask", [True, False])
def test_foreign_vectors_are_masked_or_kept_while_they_are_repaired(store: Store, *, mask: bool) -> None:
    infiltrate(store)
    before = store.audit("one", seed=1)
    seen: list[set[str]] = []

    def look(_: Progress) -> None:
        seen.append({hit.id for hit in store.search(words(0), k=900).hits})

    after = store.repair(before, mask=mask, progress=look)
    everybody = {f"d{n}" for n in range(900)}
    masked = everybody - set(FOREIGN)
    assert all(found in (masked, everybody) for found in seen)
    assert (masked in seen) is mask
    assert {hit.id for hit in store.search(words(0), k=900).hits} == everybody
    assert after.verdict == "pass"


def test_masked_document_that_changes_meanwhile_is_answered_as_it_is_now(store: Store) -> None:
    infiltrate(store)
    before = store.audit("one", seed=1)
    changed = FOREIGN[0]
    store.upsert([Document(changed, words(5_000))])
    store.delete([FOREIGN[1]])
    assert store.repair(before, mask=True).verdict == "pass"
    assert store.search(words(5_000), k=1).hits[0].id == changed
    assert FOREIGN[1] not in {hit.id for hit in store.search(words(0), k=900).hits}


def test_unknown_writer_is_found_without_any_suspect(store: Store) -> None:
    infiltrate(store, "hash:64?seed=9")
    report = store.audit("one", suspects=(), seed=1)
    assert set(report.ids("foreign_vector")) == set(FOREIGN)
    assert report.examined["suspects"] == "none"


def test_named_suspect_may_be_any_embedder(store: Store) -> None:
    infiltrate(store, "hash:64?seed=9")
    report = store.audit("one", suspects=["two", "hash:64?seed=9"], seed=1)
    assert set(report.ids("foreign_vector")) == set(FOREIGN)
    assert "hash:64?seed=9 made 100%" in report.findings[0].message


def test_few_vectors_of_a_fine_tune_are_an_alarm_whether_or_not_they_change_an_answer(store: Store) -> None:
    few = FOREIGN[:2]
    infiltrate(store, "hash:64?seed=1&noise=0.5", few)
    report = store.audit("one", suspects=(), seed=1, bound=0.002)
    [finding] = report.findings
    assert (finding.kind, finding.severity, report.verdict) == ("foreign_vector", "fail", "fail")
    assert set(finding.ids) == set(few)


def test_relative_that_changes_no_answer_is_told_with_its_harm_and_is_no_alarm(store: Store) -> None:
    infiltrate(store, "hash:64?seed=1&noise=0.02")
    report = store.audit("one", suspects=(), seed=1, bound=0.05)
    [finding] = report.findings
    assert (finding.kind, finding.severity, report.verdict) == ("foreign_vector", "warn", "pass")
    assert "results near them stay" in finding.message


def test_audit_tells_what_foreign_vectors_cost_on_golden_queries_and_when_they_came(store: Store) -> None:
    infiltrate(store)
    for n in range(40, 50):
        store.golden.add(words(n), [f"d{n}"])
    report = store.audit("one", seed=1)
    message = next(one.message for one in report.findings if one.kind == "foreign_vector")
    assert re.search(r"nDCG@10 of the golden queries is 0\.\d+, then 1\.000", message), message
    assert re.search(r"30 in batch \d+", message), message
    assert f"changed from {dt.datetime.now(dt.UTC):%Y-}" in message


def test_recorded_fingerprints_are_still_believed_when_they_confess(store: Store) -> None:
    made = open_embedder(OTHER).embed_documents([words(3)])
    plant(store, {"d3": made[0]}, fingerprint="another")
    assert {"foreign_fingerprint"} <= kinds(store.audit("one", seed=1, bound=0.05))


def test_pure_pair_passes_and_stale_documents_are_left_to_the_check(store: Store) -> None:
    store.upsert([Document("d5", "another text altogether")])
    report = store.audit("one", seed=1)
    assert (report.verdict, report.findings) == ("pass", ())


def test_too_small_a_budget_is_unknown_and_hides_no_kept_report(store: Store) -> None:
    kept = store.report("one")
    report = store.audit("one", budget="5%", seed=1)
    assert report.verdict == "unknown"
    assert report.examined["re-embedded"] + report.examined["embedded by suspects"] <= 45
    assert "asked was 0.10%" in report.findings[0].message
    assert store.report("one") == kept


def test_model_that_changed_makes_an_audit_refuse_to_say(store: Store, root: Path) -> None:
    store.resources.catalog.pairs.set_embedder("one", OTHER)
    report = store.audit("one")
    assert (report.verdict, kinds(report)) == ("fail", {"embedder_changed"})
    assert report.certificate is None


def test_audit_tells_its_progress(store: Store) -> None:
    seen: list[Progress] = []
    store.audit("one", progress=seen.append, bound=0.05, seed=1)
    assert {one.phase.split(":")[0] for one in seen} == {"audit"}
    assert all(0 <= one.documents <= one.total for one in seen)


def test_audit_and_repair_from_the_command_line(store: Store, root: Path) -> None:
    infiltrate(store)
    found = cli_json("purity", "one", "--suspect", "two", "--bound", "1%", "--store", root, code=1)
    assert [f["kind"] for f in found["findings"]] == ["foreign_vector"]
    assert found["certificate"]["sensitivity"] < 1
    shown = text("repair", "one", "--found", "--store", root)
    assert "vectors that were not re-embedded are foreign, at 99%" in shown
    assert cli_json("purity", "one", "--budget", "1", "--store", root, code=1)["verdict"] == "unknown"
