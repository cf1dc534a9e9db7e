"""`rollback`: back to the pair that was live before.

Covers cli.support.moves, cli.support.render.
"""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_rollback_switches_catches_up_and_proves(store: Path) -> None:
    moved = cli_json("rollback", "--reason", "worse answers")
    assert set(moved) == keys_promised("rollback")
    assert (moved["from"], moved["to"], moved["lag"]) == ("v2@1", "v1@1", 3)
    assert moved["caught_up"]["lag"] == 0
    assert moved["check"]["verdict"] == "pass"
    assert moved["trouble"] == ""


def test_rollback_says_so_in_words(store: Path) -> None:
    said = text("rollback", "--to", "v1", "--reason", "worse answers")
    assert "live: v2@1 -> v1@1" in said
    assert "3 changes taken in" in said
    assert "check of v1@1 (full): pass" in said


def test_rollback_without_catch_up_says_what_is_left(store: Path) -> None:
    moved = cli_json("rollback", "--reason", "worse answers", "--no-catch-up")
    assert (moved["caught_up"], moved["check"]) == (None, None)
    assert "vecrollback catch-up v2" in text("restore", "v2@1", "--reason", "no, the other", "--no-catch-up")


def test_rollback_dry_run_changes_nothing(store: Path) -> None:
    before = cli_json("status")
    plan = cli_json("rollback", "--dry-run")
    assert plan.pop("model")["answers"] == "pass", "v2's promote asked"
    assert plan == {"target": "v1@1", "watermark": 40, "lag": 3, "checked": "pass", "dry_run": True}
    assert "v1@1" in text("rollback", "--dry-run", "--to", "v1")
    assert cli_json("status") == before
