"""`init`: an empty store."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_init_creates_a_store_once(tmp_path: Path) -> None:
    place = tmp_path / "new"
    assert cli_json("init", "--store", place) == {"store": str(place), "created": True}
    assert cli_json("init", "--store", place) == {"store": str(place), "created": False}
    assert str(place) in text("init", "--store", place)
    assert set(cli_json("init", "--store", place)) == keys_promised("init")
