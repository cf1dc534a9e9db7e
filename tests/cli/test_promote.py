"""`promote`: a pair goes live."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_promote_tells_the_move(store: Path) -> None:
    moved = cli_json("promote", "v1", "--reason", "back to the first")
    assert set(moved) == keys_promised("promote")
    assert (moved["from"], moved["to"], moved["epoch"]) == ("v2@1", "v1@1", 3)
    assert set(moved["searchers"]) == {"expected", "acknowledged", "missing"}
    assert "live: v1@1 -> v2@1" in text("promote", "v2")


def test_a_dry_run_tells_how_old_it_is_and_what_the_gates_say_and_moves_nothing(store: Path) -> None:
    plan = cli_json("promote", "v1", "--dry-run")
    assert {"pair", "snapshot", "taken_at", "watermark", "lag", "live", "outcomes", "obstacle"} <= set(plan)
    assert (plan["pair"], plan["live"], plan["lag"], plan["obstacle"], plan["dry_run"]) == ("v1", "v2@1", 3, "", True)
    said = text("promote", "v1", "--dry-run")
    assert "v1@1, taken 20" in said
    assert "3 changes behind" in said
    assert "nothing was changed" in said
    assert "is live already" in text("promote", "v2", "--dry-run", code=1)
    text("rollback", "--reason", "worse answers")
    assert "was rolled back from: worse answers" in cli_json("promote", "v2", "--dry-run", code=1)["obstacle"]
    assert cli_json("status")["alias"]["live"]["epoch"] == 3


def test_a_dry_run_writes_down_nothing_of_the_model_it_looked_at(store: Path) -> None:
    def asked() -> list[str | None]:
        return [pair["model"]["asked_at"] for pair in cli_json("status")["pairs"]]

    before = asked()
    assert cli_json("promote", "v1", "--dry-run")["passed"]
    assert cli_json("gates", "v1")["passed"]
    assert asked() == before
