"""`restore`: one exact snapshot goes live."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised


def test_restore_serves_one_exact_snapshot(store: Path) -> None:
    moved = cli_json("restore", "v1@1", "--reason", "v2 is wrong")
    assert set(moved) == keys_promised("restore")
    assert (moved["to"], moved["check"]["verdict"]) == ("v1@1", "pass")


def test_a_dry_run_says_how_old_it_is_and_moves_nothing(store: Path) -> None:
    before = cli_json("status")["alias"]
    plan = cli_json("restore", "v1@1", "--dry-run")
    [taken] = [one for one in cli_json("snapshot", "list")["snapshots"] if one["ref"] == "v1@1"]
    assert (plan["target"], plan["taken_at"], plan["dry_run"]) == ("v1@1", taken["created_at"], True)
    assert plan["lag"] == cli_json("status")["corpus"]["head"] - taken["watermark"]
    assert (plan["live"], plan["obstacle"]) == ("v2@1", "")
    assert cli_json("status")["alias"] == before
