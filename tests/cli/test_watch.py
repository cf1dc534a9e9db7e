"""`watch`: a policy acts on what it measures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import cli_json, keys_promised, refusal, text
from vecrollback import Document, connect

TOPICS = ("boats", "lake", "bread", "harbour")


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    path = tmp_path / "queries.jsonl"
    rows = [{"query": f"{n} on the {TOPICS[n % 4]} {n * 7}"} for n in range(0, 200, 2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def bad_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`bad` was promoted over `good`."""
    root = tmp_path / "bad-release"
    with connect(root, create=True) as store:
        store.upsert(Document(f"d{n}", f"note {n} on the {TOPICS[n % 4]}, {n * 7} of them") for n in range(200))
        for name, embedder in (("good", "hash:256?seed=1"), ("bad", "hash:8?seed=3")):
            store.promote(store.reembed(embedder, name=name, index="Flat").wait(), reason="a release")
    monkeypatch.setenv("VECROLLBACK_STORE", str(root))
    return root


def test_a_watch_rolls_a_bad_release_back_and_what_it_recorded_replays(
    bad_release: Path, policy: Path, queries: Path, tmp_path: Path
) -> None:
    recorded = tmp_path / "recorded.jsonl"
    done = cli_json("watch", "--policy", policy, "--queries", queries, "--rounds", "12", "--record", recorded)
    assert set(done) == keys_promised("watch")
    assert [decision["kind"] for decision in done["decisions"]] == ["rollback"]
    assert cli_json("status")["alias"]["live"]["pair"] == "good"
    found = cli_json("policy", "replay", policy, "--metrics", recorded)
    assert set(found) == keys_promised("policy", "replay")
    assert found["decisions"][0]["reason"] == done["decisions"][0]["reason"]
    assert found["rollback_at"] == found["decisions"][0]["at"]
    assert "standout" in text("policy", "replay", policy, "--metrics", recorded)


def test_a_watch_of_some_rounds_ends_with_a_word_while_another_one_leads(
    bad_release: Path, policy: Path, queries: Path
) -> None:
    with connect(bad_release) as store, store.resources.catalog.lock("guard"):
        said = refusal("watch", "--policy", policy, "--queries", queries, "--rounds", "1", code=3)
    assert "watches this store already" in said["message"]


def test_a_watch_needs_a_policy_and_queries(store: Path, policy: Path, queries: Path) -> None:
    assert "--policy FILE" in refusal("watch", "--queries", queries, "--rounds", "1", code=2)["hint"]
    assert "--queries FILE" in refusal("watch", "--policy", policy, "--rounds", "1", code=2)["hint"]
