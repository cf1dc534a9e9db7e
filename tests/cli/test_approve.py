"""`approve`: people agree to a move."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_a_restore_waits_for_two_people(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store / "vecrollback.toml").write_text("[policy.authority]\nrestore_approvals = 2\n")
    asked = refusal("restore", "v1@1", "--reason", "bad data", code=3)
    assert asked["hint"] == "each of them: `vecrollback approve 1`"
    [waiting] = cli_json("approvals", "--waiting")["approvals"]
    assert set(waiting) == keys_promised("reject")
    monkeypatch.setenv("VECROLLBACK_ACTOR", "anna")
    first = cli_json("approve", "1")
    assert set(first) == {"approval", "switched"}
    assert first["switched"] is None
    monkeypatch.setenv("VECROLLBACK_ACTOR", "ben")
    assert cli_json("approve", "1")["switched"]["to"] == "v1@1"
    assert cli_json("approvals", "--waiting") == {"approvals": []}
    assert "done" in text("approvals")
