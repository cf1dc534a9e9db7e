"""`plan`: what building a pair would take."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import V1, cli_json, keys_promised, refusal, text


def test_a_plan_counts_and_prices_what_is_new_and_builds_nothing(store: Path) -> None:
    plan = cli_json("plan", "hash:32?seed=3", "--no-measure", "--price", "3")
    assert set(plan) == keys_promised("plan")
    assert (plan["pair"], plan["documents"], plan["seconds"], plan["price"]) == ("hash-32", 40, None, 3.0)
    assert plan["dollars"] == plan["tokens"] * 3 / 1e6
    assert [pair["name"] for pair in cli_json("pairs")["pairs"]] == ["v1", "v2"]
    assert "not measured" in text("plan", "hash:32?seed=3", "--no-measure")


def test_what_is_embedded_already_costs_nothing_again(store: Path) -> None:
    plan = cli_json("plan", V1, "--name", "again", "--no-measure")
    assert plan["reused"] == 38  # all but the two that changed since
    assert plan["texts"] == 2


def test_another_model_under_a_name_that_is_taken_is_refused(store: Path) -> None:
    assert refusal("plan", "hash:64?seed=9", "--name", "v1", code=3)["type"] == "PairStateError"
