"""`token`: who may use the HTTP API."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_a_token_is_created_listed_and_revoked(store: Path) -> None:
    assert "no token yet" in text("token", "list")
    created = cli_json("token", "create", "--role", "operator", "--name", "anna")
    assert set(created) == keys_promised("token", "create")
    assert (created["name"], created["role"]) == ("anna", "operator")
    listed = cli_json("token", "list")
    assert set(listed) == keys_promised("token", "list")
    assert [set(one) for one in listed["tokens"]] == [set(created) - {"secret"}]
    revoked = cli_json("token", "revoke", "anna")
    assert set(revoked) == keys_promised("token", "revoke")
    assert revoked["revoked_at"]
    assert "anna" in text("token", "list")


def test_the_secret_is_shown_once_and_kept_nowhere(store: Path) -> None:
    secret = cli_json("token", "create", "--role", "reader")["secret"]
    assert secret not in text("token", "list")
    assert not any(secret.encode() in path.read_bytes() for path in store.glob("catalog.db*"))


def test_a_role_that_does_not_exist_and_a_name_that_is_taken_are_refused(store: Path) -> None:
    cli_json("token", "create", "--role", "reader", "--name", "shop")
    assert refusal("token", "create", "--role", "reader", "--name", "shop", code=2)["type"] == "UsageError"
    assert refusal("token", "create", "--role", "king", code=2)["type"] == "UsageError"
    assert refusal("token", "revoke", "nobody", code=2)["type"] == "UnknownNameError"
