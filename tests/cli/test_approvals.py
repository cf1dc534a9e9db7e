"""`approvals`: the moves that wait, or waited, for people."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_requests_are_listed_with_who_asked_and_what_is_missing(store: Path) -> None:
    assert text("approvals") == "no move waits for approval\n"
    (store / "vecrollback.toml").write_text("[policy.authority]\nrestore_approvals = 1\n")
    refusal("restore", "v1@1", "--reason", "bad data", code=3)
    listed = cli_json("approvals")
    assert set(listed) == keys_promised("approvals")
    [request] = listed["approvals"]
    assert (request["state"], request["target"], request["reason"]) == ("waiting", "v1@1", "bad data")
    assert "0/1" in text("approvals", "--waiting")
    cli_json("reject", "1", "--reason", "no")
    assert cli_json("approvals", "--waiting") == {"approvals": []}
    assert "rejected" in text("approvals")
