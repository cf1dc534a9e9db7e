"""`history`: the moves of the pointer."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, text


def test_history_is_newest_first(store: Path) -> None:
    moves = cli_json("history", "--alias", "live")["moves"]
    assert all(set(move) >= {"from", "to", "reason", "actor", "at", "hash"} for move in moves)
    assert [(move["kind"], move["to"]) for move in moves] == [("promote", "v2@1"), ("promote", "v1@1")]
    assert len(cli_json("history", "--limit", "1")["moves"]) == 1
    assert "said to be better" in text("history")
