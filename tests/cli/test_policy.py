"""`policy`: what it means, and what it would have done."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_a_policy_is_shown_with_its_defaults_or_refused_with_its_place(store: Path, policy: Path) -> None:
    shown = cli_json("policy", "check", policy)
    assert set(shown) == keys_promised("policy", "check")
    assert [(one["name"], one["failure"]) for one in shown["metrics"]] == [("standout", "> 0.25"), ("lag", "> 10000")]
    assert "2 of 3" in text("policy", "check", policy)
    assert "this store has no policy" in refusal("policy", "check", code=2)["message"]
    (store / "vecrollback.toml").write_text("[policy]\n")
    assert len(cli_json("policy", "check")["metrics"]) == 6
    policy.write_text("[[metric]]\nsource = 'vibes'\n")
    assert str(policy) in refusal("policy", "check", policy, code=2)["message"]


def test_a_replay_tells_what_a_policy_would_have_done_and_moves_nothing(
    store: Path, policy: Path, tmp_path: Path
) -> None:
    queries, recorded = tmp_path / "queries.jsonl", tmp_path / "recorded.jsonl"
    queries.write_text("".join(json.dumps({"query": f"apples of crate {n}"}) + "\n" for n in range(30)))
    cli_json("watch", "--policy", policy, "--queries", queries, "--rounds", "2", "--record", recorded)
    moves = cli_json("history")
    replayed = cli_json("policy", "replay", policy, "--metrics", recorded)
    assert set(replayed) == keys_promised("policy", "replay")
    assert (replayed["rollback_at"], replayed["silent"]) == (None, [])
    assert replayed["readings"] >= 2
    policy.write_text("[[metric]]\nsource = 'lag'\nfailure = '> 2'\ninterval = '10ms'\n")
    assert "lag" in text("policy", "replay", policy, "--metrics", recorded)
    assert cli_json("history") == moves
