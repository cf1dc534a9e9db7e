"""Records of work go when newer ones are many, and never those that something still depends on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vecrollback.catalog import Catalog
from vecrollback.records import Report, RetentionRules

KEEP = RetentionRules(jobs=3, reports=2, audit=3600)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    (tmp_path / "store").mkdir()
    opened = Catalog(tmp_path / "store", create=True)
    yield opened
    opened.close()


def report(pair: str, number: int) -> Report:
    return Report(pair, number, "quick", "pass", (), None, 0, 0, "2026-01-01T00:00:00.000000+00:00")


def test_the_newest_of_each_kind_and_pair_stay(catalog: Catalog) -> None:
    for pair in ("a", "b"):
        for _ in range(5):
            catalog.jobs.finish(catalog.jobs.start("catch-up", pair).id, "done")
        for number in range(4):
            catalog.reports.add(report(pair, number))
    failed = catalog.jobs.start("check", "a").id
    catalog.jobs.finish(failed, "failed", "the model is gone")
    assert catalog.retention.count(KEEP) == {"jobs": 4, "reports": 4, "audit": 0}
    assert catalog.retention.forget(KEEP) == {"jobs": 4, "reports": 4, "audit": 0}
    assert catalog.retention.count(KEEP) == {"jobs": 0, "reports": 0, "audit": 0}
    assert failed in {job.id for job in catalog.jobs.all()}, "it can be resumed"
    assert [one.snapshot for one in catalog.reports.all("a", limit=9)] == [3, 2]
    for pair in ("a", "b"):
        assert len(catalog.jobs.all(kind="catch-up", pair=pair)) == 3


def test_only_an_old_audit_goes(catalog: Catalog) -> None:
    catalog.audits.add("anna", "token.create", "shop")
    assert catalog.retention.forget(KEEP)["audit"] == 0
    assert catalog.retention.forget(RetentionRules(audit=-60))["audit"] == 1
    assert catalog.audits.all() == []
