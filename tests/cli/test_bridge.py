"""`bridge`: a map is learned, and what it is worth is said."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text
from tests.support.topics import documents
from vecrollback import connect


def test_bridge_learns_and_says_what_it_is_worth(here: Path) -> None:
    assert "texts in common" in refusal("bridge", "v2", "v1", code=3)["message"]
    with connect() as store:
        store.upsert(documents(250))
        for name in ("v1", "v2"):
            store.catch_up(name)
    found = cli_json("bridge", "v2", "v1")
    assert set(found) == keys_promised("bridge")
    assert (found["source"], found["target"]) == ("v2", "v1")
    said = text("bridge", "v1", "v2")
    assert said.splitlines()[0].startswith("v1 -> v2: ")
    assert "by bridge from v1: measured recall" in said
    assert refusal("bridge", "v1", "v1", code=2)["message"] == "both are pair 'v1'"
