"""A plan is what the job then takes: counted, not guessed, and free of charge."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import vecrollback
from tests.cli.support import cli_json, text
from tests.support.openai_server import OpenAIServer
from vecrollback import Document, Store
from vecrollback.embedders import open_embedder
from vecrollback.records import Progress
from vecrollback.reembedding import plan


def build(root: Path, count: int = 40) -> Store:
    store = vecrollback.connect(root, create=True)
    store.upsert([Document(f"d{n}", f"note {n} about boats. " * (1 + n % 5)) for n in range(count)])
    return store


def test_a_plan_counts_what_the_job_then_embeds(tmp_path: Path) -> None:
    spec = "hash:32?chunk=tokens:6:0"
    with build(tmp_path) as store:
        store.upsert([Document("twin", "note 1 about boats. " * 2), Document("blank", "  ")])
        store.delete(["d3"])
        plan = store.plan(spec, name="one")
        seen: list[Progress] = []
        store.reembed(spec, name="one", progress=seen.append).wait()
        last = max(seen, key=lambda progress: progress.tokens)
        assert (plan.chunks, plan.tokens) == (last.chunks, last.tokens)
        assert (plan.texts, plan.counted, plan.error) == (last.embedded, last.embedded, 0.0)
        assert (plan.documents, plan.reused, plan.resumes) == (41, 0, False)


def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    with build(tmp_path) as store:
        before = store.status()
        store.plan("hash:32")
        assert store.status() == before


def test_what_another_pair_of_the_model_has_is_planned_as_reused(tmp_path: Path) -> None:
    with build(tmp_path) as store:
        store.reembed("hash:32", name="one").wait()
        store.upsert([Document("new", "something else entirely")])
        other = store.plan("hash:32", name="two", index="Flat")
        assert (other.documents, other.reused, other.texts) == (41, 40, 1)
        assert other.disk > 41 * 4 * 32
        same = store.plan("hash:32")
        assert (same.pair, same.resumes, same.documents, same.texts) == ("one", True, 1, 1)
        assert store.plan("hash:32?seed=2").reused == 0


def test_a_plan_of_very_many_texts_states_its_error_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "COUNTED_WHOLE", 200)
    with build(tmp_path, 1000) as store:
        true = sum(
            open_embedder("hash:32").count_tokens([d.text]) for d in store.get([f"d{n}" for n in range(1000)]).values()
        )
        plans = [store.plan("hash:32", seed=seed, measure=False) for seed in range(20)]
    assert {plan.counted for plan in plans} == {200}
    assert all(0 < plan.error < 0.2 for plan in plans)
    outside = sum(abs(plan.tokens - true) > plan.error * plan.tokens for plan in plans)
    assert outside <= 4, "a 95% interval is to miss about one in twenty"


def test_a_plan_has_the_price_and_the_time(tmp_path: Path) -> None:
    with build(tmp_path) as store:
        free = store.plan("hash:32")
        assert (free.price, free.dollars) == (None, None)
        assert free.seconds is not None
        assert free.tokens_per_second is not None
        assert math.isclose(free.seconds, free.tokens / free.tokens_per_second)
        assert store.plan("hash:32", price=20.0).dollars == pytest.approx(free.tokens * 20 / 1e6)


def test_a_service_is_planned_without_spending(tmp_path: Path) -> None:
    with build(tmp_path) as store, OpenAIServer() as server:
        plan = store.plan(server.spec(dimensions=8, price=2, spend_limit=1))
        assert (plan.seconds, plan.measured, plan.estimated, plan.price) == (None, 0, True, 2.0)
        assert plan.dollars == pytest.approx(plan.tokens * 2 / 1e6)
        assert not server.requests


def test_a_plan_tells_what_a_rollback_would_have_to_catch_up(tmp_path: Path) -> None:
    with build(tmp_path) as store:
        assert store.plan("hash:32?seed=2").stale_documents is None
        store.promote(store.reembed("hash:32?seed=1", name="one").wait(), reason="first")
        assert store.plan("hash:32?seed=2").stale_documents == 0
        store.upsert([Document(f"new {n}", f"a new text {n}") for n in range(7)])
        plan = store.plan("hash:32?seed=2")
        assert plan.stale_documents == 7
        assert plan.stale_seconds is not None
        assert plan.stale_seconds > 0


def test_plan_and_dry_run_say_the_same_and_build_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECROLLBACK_STORE", str(tmp_path / "store"))
    build(tmp_path / "store").close()
    plan = cli_json("plan", "hash:32", "--no-measure", "--price", "3")
    dry = cli_json("reembed", "hash:32", "--dry-run")
    assert (dry["tokens"], dry["documents"], dry["pair"]) == (plan["tokens"], 40, "hash-32")
    assert (plan["seconds"], plan["price"]) == (None, 3.0)
    assert not cli_json("pairs")["pairs"]
    said = text("plan", "hash:32", "--price", "3")
    assert "40 have vectors" not in said
    assert f"{plan['tokens']:,} tokens, counted" in said
    assert "$0.00" in said


@pytest.mark.parametrize("kind", ["model", "service"])
def test_a_plan_and_a_check_tell_how_many_chunks_are_longer_than_the_model_reads(
    tmp_path: Path, tiny: Path, kind: str
) -> None:
    with OpenAIServer() as server, vecrollback.connect(tmp_path / "store", create=True) as store:
        spec = f"{tiny}?max_length=32" if kind == "model" else server.spec(dimensions=64, max_characters=200)
        store.upsert([Document(f"short{n}", "ships leave the harbour at dawn") for n in range(3)])
        store.upsert(
            [Document("edge", "a " * 30), Document("long", "ships leave " * 40), Document("longer", "sea " * 90)]
        )
        assert store.plan(spec, name="one", measure=False).cut == 2
        assert "2 chunks are longer than the model reads" in text("--store", tmp_path / "store", "plan", spec)
        store.reembed(spec, name="one").wait()
        assert store.check("one").examined["longer than the model reads"] == 2
        assert store.plan(f"{spec}&chunk=semantic:20", name="two", measure=False).cut == 0
        assert "longer than the model reads" not in text("--store", tmp_path / "store", "plan", "hash:32")
