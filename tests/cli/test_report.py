"""`report`: how fast problems were found and undone."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_rollbacks_are_summed_up(store: Path) -> None:
    assert cli_json("report")["success_rate"] is None  # nothing happened, and that is not a success
    cli_json("rollback", "--reason", "answers got worse")
    report = cli_json("report")
    assert set(report) == keys_promised("report")
    assert (report["rollbacks"], report["success_rate"]) == (1, 1.0)
    assert cli_json("report", "--days", "0")["rollbacks"] == 0
    assert "rollbacks" in text("report")
