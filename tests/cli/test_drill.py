"""`drill`: a rollback is rehearsed."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_a_drill_passes_is_kept_and_moves_nothing(store: Path) -> None:
    assert "no drill yet" in text("drill", "--list")
    drill = cli_json("drill")
    assert set(drill) == keys_promised("drill")
    assert (drill["verdict"], drill["source"], drill["target"]) == ("pass", "v2@1", "v1@1")
    assert cli_json("drill", "--list")["drills"] == [drill]
    assert "pass" in text("drill", "--list")
    assert cli_json("status")["alias"]["live"] == {"pair": "v2", "snapshot": 1, "epoch": 2}


def test_unknown_chaos_is_refused(store: Path) -> None:
    assert "searcher-hung" in refusal("drill", "--chaos", "lunch", code=2)["hint"]
