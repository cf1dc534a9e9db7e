"""`freeze`: automation is held back."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli, cli_json, keys_promised, refusal


def test_a_frozen_store_warns_whoever_moves_it(store: Path) -> None:
    frozen = cli_json("freeze", "--reason", "release day")
    assert set(frozen) == keys_promised("freeze")
    done = cli("rollback", "--reason", "answers got worse")
    assert done.exit_code == 0
    assert "warning: 'live' is frozen" in done.stderr
    assert refusal("freeze", "--reason", "x", "--until", "someday", code=2)["hint"].startswith(
        "write 2026-01-31T12:00 (UTC), or how long from now"
    )
