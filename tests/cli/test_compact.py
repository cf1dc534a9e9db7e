"""`compact`: small files are merged."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, text


def test_compact(store: Path) -> None:
    assert cli_json("compact", "--purge") == {"purged": True}
    assert "compacted" in text("compact")
