"""`rollback`: back to the pair that was live before.

Covers cli.support.moves, cli.support.render.
"""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text
from vecrollback import Document, connect


def test_rollback_switches_catches_up_and_proves(store: Path) -> None:
    moved = cli_json("rollback", "--reason", "worse answers")
    assert set(moved) == keys_promised("rollback")
    assert (moved["from"], moved["to"], moved["lag"]) == ("v2@1", "v1@1", 3)
    assert moved["caught_up"]["lag"] == 0
    assert moved["check"]["verdict"] == "pass"
    assert moved["trouble"] == ""


def test_rollback_says_so_in_words(store: Path) -> None:
    said = text("rollback", "--to", "v1", "--reason", "worse answers")
    assert "live: v2@1 -> v1@1" in said
    assert "3 changes taken in" in said
    assert "check of v1@1 (full): pass" in said


def test_rollback_without_catch_up_says_what_is_left(store: Path) -> None:
    moved = cli_json("rollback", "--reason", "worse answers", "--no-catch-up")
    assert (moved["caught_up"], moved["check"]) == (None, None)
    assert "vecrollback catch-up v2" in text("restore", "v2@1", "--reason", "no, the other", "--no-catch-up")


def test_rollback_dry_run_changes_nothing(store: Path) -> None:
    before = cli_json("status")
    plan = cli_json("rollback", "--dry-run")
    assert plan.pop("model")["answers"] == "pass", "v2's promote asked"
    assert plan == {"target": "v1@1", "watermark": 40, "lag": 3, "checked": "pass", "dry_run": True}
    assert "v1@1" in text("rollback", "--dry-run", "--to", "v1")
    after = cli_json("status")
    assert after["situation"].pop("at") >= before["situation"].pop("at")
    assert after == before


def test_the_documents_go_back_to_a_change(store: Path) -> None:
    with connect(store) as opened:
        head = opened.upsert([Document("d3", "sloes"), Document("fresh", "damsons")]).head
        opened.upsert([Document("d3", "quinces")])
        opened.delete(["d4"])
    plan = cli_json("rollback", "--corpus", str(head), "--dry-run")
    assert (plan["changed"], plan["erased"], plan["dry_run"], plan["head"]) == (["d3"], ["d4"], True, head + 2)
    assert "nothing was changed" in text("rollback", "--corpus", str(head), "--dry-run")
    done = cli_json("rollback", "--corpus", str(head), "--reason", "a faulty import")
    assert set(done) == set(plan)
    assert {one["lag"] for one in done["caught_up"]} == {0}
    with connect(store) as opened:
        assert opened.get(["d3", "d4", "fresh"]).keys() == {"d3", "fresh"}
        assert opened.get(["d3"])["d3"].text == "sloes"
    said = text("rollback", "--corpus", str(head - 2), "--keep-new", "--reason", "further back")
    assert "new since then, and left: 1 document (fresh)" in said
    assert f"undo: `rollback --corpus {head + 3}`" in said
    assert "SEQ|TIME" in refusal("rollback", "--keep-new", code=2)["hint"]
    assert "valid point" in refusal("rollback", "--corpus", "yesterday", "--dry-run", code=2)["message"]
    assert "--to" in refusal("rollback", "--corpus", "1", "--to", "v1", "--reason", "x", code=2)["hint"]
