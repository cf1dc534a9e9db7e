"""`prune`: what nothing needs is deleted."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text
from vecrollback import connect


def test_a_dry_run_deletes_nothing_and_says_why_the_rest_stays(store: Path) -> None:
    plan = cli_json("prune", "--dry-run", "--cool-down", "0")
    assert set(plan) == keys_promised("prune")
    assert plan["pairs"] == []
    assert set(plan["kept"]) == {"v1@1", "v2@1"}
    assert "stays: v2@1" in text("prune", "--dry-run", "--cool-down", "0")


def test_a_retired_pair_goes_with_its_files(store: Path) -> None:
    cli_json("reembed", "hash:32?seed=3", "--name", "v3")
    cli_json("retire", "v3")
    assert cli_json("prune", "--dry-run", "--cool-down", "0")["pairs"] == ["v3"]
    gone = cli_json("prune", "--cool-down", "0")
    assert gone["pairs"] == ["v3"]
    assert gone["bytes"] > 0
    assert [pair["name"] for pair in cli_json("pairs")["pairs"]] == ["v1", "v2"]
    assert cli_json("check")["verdict"] == "pass"


def test_a_dry_run_shows_the_tables_and_the_records_that_would_go(store: Path) -> None:
    with connect(store) as opened:
        jobs = opened.resources.catalog.jobs
        for _ in range(205):
            jobs.finish(jobs.start("catch-up", "v2").id, "done")
    plan = cli_json("prune", "--dry-run")
    assert {table["table"] for table in plan["tables"]} == {"documents", "earlier", "vectors-v1", "vectors-v2"}
    assert plan["records"]["jobs"] >= 5
    assert "documents: " in text("prune", "--dry-run")
    assert "would delete: records of" in text("prune", "--dry-run")
    assert cli_json("prune")["records"]["jobs"] == plan["records"]["jobs"]
    assert cli_json("prune", "--dry-run")["records"]["jobs"] == 0
