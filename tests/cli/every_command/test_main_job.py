"""The main job from an empty directory to the proof, by typing commands only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import V1, V2, cli, cli_json, text, write_documents


def test_a_bad_model_is_undone_and_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECROLLBACK_STORE", str(tmp_path / "store"))
    text("init")
    text("ingest", write_documents(tmp_path / "documents.jsonl", 0, 60))
    text("reembed", V1, "--name", "first", "--promote", "--reason", "the beginning")
    assert cli_json("search", "apples of crate 11", "-k", "1")["pair"] == "first"

    text("reembed", V2, "--name", "second", "--settings", '{"threshold": 0.7}')
    assert cli_json("search", "apples of crate 11", "-k", "1")["pair"] == "first"
    text("promote", "second", "--reason", "said to be better")
    found = cli_json("search", "apples of crate 11", "-k", "1")
    assert (found["pair"], found["settings"]) == ("second", {"threshold": 0.7})

    text("ingest", write_documents(tmp_path / "changed.jsonl", 50, 70, word="pears"))
    text("delete", "d3")
    assert cli_json("rollback", "--dry-run")["target"] == "first@1"
    moved = cli_json("rollback", "--reason", "answers got worse")
    assert (moved["from"], moved["to"], moved["lag"]) == ("second@1", "first@1", 21)
    assert moved["caught_up"]["lag"] == 0

    found = cli_json("search", "pears of crate 65", "-k", "1")
    assert (found["pair"], found["hits"][0]["id"], found["hits"][0]["stale"]) == ("first", "d65", False)
    assert "d3" not in [hit["id"] for hit in cli_json("search", "apples of crate 3", "-k", "100")["hits"]]
    assert cli_json("check")["verdict"] == "pass"
    assert [move["kind"] for move in cli_json("history", "--alias", "live")["moves"]] == [
        "rollback",
        "promote",
        "promote",
    ]
    assert cli("promote", "second").exit_code == 3
    assert "second" in text("status")
