"""`retire`: a pair goes out of use."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_a_pair_is_retired_unless_it_is_needed(store: Path) -> None:
    for needed in ("v2", "v1"):  # live, and where a rollback goes
        assert refusal("retire", needed, code=3)["type"] == "PairStateError"
    cli_json("reembed", "hash:32?seed=3", "--name", "v3")
    retired = cli_json("retire", "v3", "--reason", "not good enough")
    assert set(retired) == keys_promised("retire")
    assert retired == {"pair": "v3", "state": "retired"}
    assert "not good enough" in text("pairs")
