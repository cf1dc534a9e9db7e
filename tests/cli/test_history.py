"""`history`: the moves of the pointer."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_history_is_newest_first(store: Path) -> None:
    moves = cli_json("history")["moves"]
    assert all(set(move) >= {"from", "to", "reason", "actor", "at", "hash"} for move in moves)
    assert [(move["kind"], move["to"]) for move in moves] == [("promote", "v2@1"), ("promote", "v1@1")]
    assert len(cli_json("history", "--limit", "1")["moves"]) == 1
    assert "said to be better" in text("history")


def test_history_is_exported_and_verified(store: Path, tmp_path: Path) -> None:
    export = tmp_path / "history.json"
    head = cli_json("history", "export", export)
    assert set(head) == keys_promised("history", "export")
    proof = cli_json("history", "verify", "--against", export)
    assert set(proof) == keys_promised("history", "verify")
    assert (proof["verdict"], proof["head"]) == ("pass", head["hash"])
    export.write_text(export.read_text().replace("said to be better", "nobody said so"))
    assert "differs in reason" in text("history", "verify", "--against", export, code=1)
    assert refusal("history", "export", export, "--sign", code=2)["message"] == "no key is set to sign or verify with"


def test_other_pointers_are_shown_when_asked_for(store: Path) -> None:
    assert {move["alias"] for move in cli_json("history")["moves"]} == {"live"}
    assert {move["alias"] for move in cli_json("history", "--all")["moves"]} == {"live", "candidate"}
    assert {move["alias"] for move in cli_json("history", "--alias", "candidate")["moves"]} == {"candidate"}
