"""`status`: how things stand.

Covers store.payloads, store.status, store.parts.
"""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_status_tells_what_serves_and_where_a_rollback_would_go(store: Path) -> None:
    state = cli_json("status")
    assert set(state) == keys_promised("status")
    assert state["alias"]["live"] == {"pair": "v2", "snapshot": 1, "epoch": 2}
    assert state["corpus"] == {"head": 43, "documents": 40}
    assert state["rollback"] == {"target": "v1@1", "reason": ""}
    needed = {"name", "state", "embedder", "fingerprint", "dimension", "snapshot", "watermark", "lag"}
    assert all(needed <= set(pair) for pair in state["pairs"])
    said = text("status")
    assert "v2@1  epoch 2" in said
    assert "3 changes behind" in said
    assert "to v1@1" in said


def test_status_says_why_no_rollback_is_possible(store: Path) -> None:
    text("rollback", "--reason", "worse answers")
    assert "quarantined (worse answers)" in text("status")
    assert cli_json("status")["rollback"]["target"] is None


def test_status_of_an_empty_store(tmp_path: Path) -> None:
    text("init", "--store", tmp_path)
    assert "nothing yet" in text("status", "--store", tmp_path)
