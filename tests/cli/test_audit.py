"""`audit`: who changed what over HTTP, and every change of a token."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_changes_of_tokens_are_listed_newest_first(store: Path) -> None:
    assert text("audit") == "nothing yet\n"
    cli_json("token", "create", "--role", "reader", "--name", "shop")
    cli_json("token", "revoke", "shop")
    listed = cli_json("audit")
    assert set(listed) == keys_promised("audit")
    assert [entry["subject"].split()[0] for entry in listed["entries"]] == ["shop", "shop"]
    assert len(cli_json("audit", "--limit", "1")["entries"]) == 1
    assert cli_json("audit", "--limit", "1")["entries"][0] == listed["entries"][0]
    assert "shop" in text("audit")


def test_the_audit_is_narrowed(store: Path) -> None:
    cli_json("token", "create", "--role", "reader", "--name", "shop")
    cli_json("token", "revoke", "shop")
    entries = cli_json("audit", "--action", "token.revoke")["entries"]
    assert [entry["action"] for entry in entries] == ["token.revoke"]
    assert cli_json("audit", "--by", "nobody")["entries"] == []
    assert len(cli_json("audit", "--by", entries[0]["actor"], "--since", "2020-01-01")["entries"]) == 2
    assert cli_json("audit", "--since", "2999-01-01")["entries"] == []
