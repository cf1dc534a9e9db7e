"""`bridges`: those that there are."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text
from tests.support.topics import documents
from vecrollback import connect


def test_bridges_lists_them_with_their_measures(here: Path) -> None:
    assert text("bridges") == "there is no bridge yet\n"
    with connect() as store:
        store.upsert(documents(250))
        for name in ("v1", "v2"):
            store.catch_up(name)
        bridge = store.bridge("v2", "v1", seed=1)
    found = cli_json("bridges")
    assert set(found) == keys_promised("bridges")
    assert [one["sentence"] for one in found["bridges"]] == [bridge.sentence]
    assert "v2 -> v1" in text("bridges")
