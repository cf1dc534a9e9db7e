"""`pairs`: every pair and its state."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_pairs_lists_them_as_status_does(store: Path) -> None:
    listed, rows = cli_json("pairs"), cli_json("status")["pairs"]
    assert [{key: pair[key] for key in row} for pair, row in zip(listed["pairs"], rows, strict=True)] == rows
    assert set(listed) == keys_promised("pairs")
    assert [pair["name"] for pair in listed["pairs"]] == ["v1", "v2"]
    assert "standby" in text("pairs")
