"""Law 10. What could not be examined is reported as unknown, and fails a gate."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from tests.laws.support import FRAGILE
from tests.support import counting
from tests.support.operations import EVERY_ROW
from tests.support.two_pairs import TEXTS
from vecrollback import Store
from vecrollback.errors import CheckRefusedError, EmbeddingError, NoRollbackTargetError


def test_unknown_is_not_ok(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    monkeypatch.setenv(counting.BROKEN, str(flag))
    store.reembed(FRAGILE, name="dark", index="Flat").wait()
    store.promote("dark")
    store.promote("one")
    flag.touch()
    with vecrollback.connect(root) as later:
        report = later.check("dark")
        assert report.verdict == "unknown"
        assert {finding.kind for finding in report.findings} == {"embedder_unavailable"}
        assert report.certificate is None
        with pytest.raises(CheckRefusedError, match=r"unknown.*weights are gone"):
            later.promote("dark")
        with pytest.raises(EmbeddingError, match="weights are gone"):  # an override does not make a model work
            later.promote("dark", override=True, reason="a test")
        assert later.live().name == "one"
        with pytest.raises(NoRollbackTargetError, match="unknown"):
            later.rollback("dark", reason="a test")
        assert later.rollback(reason="a test").target == "two@1"


def test_unknown_is_not_ok_a_sample_of_nothing_certifies_nothing(store: Store) -> None:
    report = store.check("one", sample=0)
    assert report.certificate
    assert report.certificate.bound == 1.0
    whole = store.check("one", sample=EVERY_ROW)
    assert whole.certificate
    assert (whole.certificate.bound, whole.certificate.sampled) == (0.0, len(TEXTS))
