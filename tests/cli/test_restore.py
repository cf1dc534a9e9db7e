"""`restore`: one exact snapshot goes live."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised


def test_restore_serves_one_exact_snapshot(store: Path) -> None:
    moved = cli_json("restore", "v1@1", "--reason", "v2 is wrong")
    assert set(moved) == keys_promised("restore")
    assert (moved["to"], moved["check"]["verdict"]) == ("v1@1", "pass")
