"""`promote`: a pair goes live."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_promote_tells_the_move(store: Path) -> None:
    moved = cli_json("promote", "v1", "--reason", "back to the first")
    assert set(moved) == keys_promised("promote")
    assert (moved["from"], moved["to"], moved["epoch"]) == ("v2@1", "v1@1", 3)
    assert set(moved["searchers"]) == {"expected", "acknowledged", "missing"}
    assert "live: v1@1 -> v2@1" in text("promote", "v2")
