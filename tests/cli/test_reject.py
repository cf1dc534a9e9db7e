"""`reject`: a move that waits is refused."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, refusal


def test_a_request_is_refused(store: Path) -> None:
    (store / "vecrollback.toml").write_text("[policy.authority]\nrestore_approvals = 1\n")
    refusal("restore", "v1@1", "--reason", "bad data", code=3)
    assert cli_json("reject", "1", "--reason", "no")["state"] == "rejected"
    assert refusal("approve", "1", code=2)["message"] == "request 1 is rejected"
