"""`delete`: documents go, for good."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_delete_names_ids_that_were_not_there(store: Path) -> None:
    done = cli_json("delete", "d5", "nobody")
    assert set(done) == keys_promised("delete")
    assert done["unknown"] == ["nobody"]
    assert "1 document deleted" in text("delete", "d6")
    assert "d5" not in [hit["id"] for hit in cli_json("search", "apples of crate 5", "-k", "40")["hits"]]
