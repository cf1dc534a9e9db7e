"""`search`: what is live answers."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text
from vecrollback import Document, connect


def test_search_says_which_pair_answered(store: Path) -> None:
    found = cli_json("search", "apples of crate 7", "-k", "3", "--where", "year > 2005")
    assert set(found) == keys_promised("search")
    assert (found["pair"], found["snapshot"], found["epoch"]) == ("v2", 1, 2)
    assert len(found["hits"]) == 3
    assert set(found["hits"][0]) == {"id", "score", "text", "metadata", "chunk", "stale", "namespace"}
    assert all(hit["metadata"]["year"] > 2005 for hit in found["hits"])
    as_data = cli_json("search", "apples of crate 7", "-k", "3", "--where", '{"year": {"$gt": 2005}}')
    assert as_data["hits"] == found["hits"]
    said = text("search", "apples of crate 7")
    assert "d7" in said
    assert "v2@1, epoch 2" in said


def test_search_marks_stale_hits(store: Path) -> None:
    hits = {hit["id"]: hit for hit in cli_json("search", "apples of crate 1", "-k", "40")["hits"]}
    assert hits["d1"]["stale"]
    assert not hits["d7"]["stale"]
    assert "stale" in text("search", "apples of crate 1", "-k", "40")


def test_search_prints_no_control_characters(store: Path) -> None:
    with connect(store) as opened:
        opened.upsert([Document("evil", "apples \x1b[31m[bold]red\x9b")])
    text("catch-up")
    said = text("search", "apples red bold")
    assert "[bold]red" in said
    assert "\x1b" not in said
    assert "\x9b" not in said
