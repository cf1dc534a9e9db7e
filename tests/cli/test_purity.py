"""`purity`: vectors that another model made are found, and the rest is certified."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_a_pure_pair_gets_its_certificate(store: Path) -> None:
    report = cli_json("purity", "v1")
    assert set(report) == keys_promised("purity")
    assert (report["pair"], report["verdict"], report["findings"]) == ("v1", "pass", [])
    assert report["certificate"]["bound"] <= 0.001
    assert "pass" in text("purity", "v1")


def test_a_budget_too_small_to_tell_is_no_pass(store: Path) -> None:
    assert cli_json("purity", "v1", "--budget", "1", code=1)["verdict"] == "unknown"
    assert refusal("purity", "v1", "--budget", "none", code=2)["hint"]
