"""`unfreeze`: automation may act again."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli, cli_json, keys_promised, text


def test_a_store_thaws_once(store: Path) -> None:
    cli_json("freeze", "--reason", "release day")
    thawed = cli_json("unfreeze")
    assert thawed == {"was_frozen": True}
    assert set(thawed) == keys_promised("unfreeze")
    assert cli_json("unfreeze") == {"was_frozen": False}
    assert "was not frozen" in text("unfreeze")
    assert "warning" not in cli("rollback", "--reason", "answers got worse").stderr
