"""`gates`: what a promote has to pass."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import V1, cli, cli_json, keys_promised, refusal, text


def test_gates_are_looked_at_without_moving_and_stop_a_promote(here: Path) -> None:
    cli("golden", "add", "apples of crate 7", "-e", "d7")
    (here / "vecrollback.toml").write_text('[gates]\npromote = ["lag = 0", "ndcg@10 on nothing >= 0.5"]\n')
    cli("reembed", V1, "--name", "v3")
    found = cli_json("gates", "v3", code=1)
    assert set(found) == keys_promised("gates")
    assert [one["outcome"] for one in found["outcomes"]] == ["pass", "pass", "unknown"]
    assert "v3@1 does not pass" in text("gates", "v3", code=1)
    error = refusal("promote", "v3", code=3)
    assert error["type"] == "GateRefusedError"
    assert "unknown  ndcg@10 on nothing >= 0.5" in error["message"]
    (here / "vecrollback.toml").write_text('[gates]\npromote = ["lag = 0"]\n')
    done = cli_json("promote", "v3", "--reason", "as good")
    assert set(done) == keys_promised("promote")
    assert [one["gate"] for one in done["gates"]] == ["way back", "lag = 0"]
    assert "way back" in text("promote", "v1", "--reason", "as good, too")
    (here / "vecrollback.toml").write_text('[gates]\npromote = ["lga = 0"]\n')
    assert "did you mean 'lag'" in refusal("promote", "v3", "--override", "--reason", "x", code=2)["message"]
