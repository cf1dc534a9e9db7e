"""`check`: a pair is audited.

Covers cli.support.examination.
"""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_check_proves_a_pair(store: Path) -> None:
    report = cli_json("check", "v1", "--bound", "5%", "--confidence", "0.99")
    assert set(report) == keys_promised("check")
    assert (report["pair"], report["verdict"], report["findings"]) == ("v1", "pass", [])
    certificate = report["certificate"]
    assert set(certificate) == {"sampled", "foreign", "population", "bound", "confidence", "sensitivity"}
    assert certificate["bound"] <= 0.05
    assert certificate["confidence"] == 0.99
    assert "check of v2@1 (full): pass" in text("check")


def test_check_takes_a_sample_or_none_at_all(store: Path) -> None:
    assert cli_json("check", "--sample", "all")["certificate"]["bound"] == 0
    assert cli_json("check", "--sample", "5")["certificate"]["sampled"] == 5
    assert cli_json("check", "--quick")["certificate"] is None
