"""`retire`: a pair goes out of use."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli, cli_json, keys_promised, refusal, text
from vecrollback import connect


def test_a_pair_is_retired_unless_it_is_needed(store: Path) -> None:
    for needed in ("v2", "v1"):  # live, and where a rollback goes
        assert refusal("retire", needed, code=3)["type"] == "PairStateError"
    cli_json("reembed", "hash:32?seed=3", "--name", "v3")
    retired = cli_json("retire", "v3", "--reason", "not good enough")
    assert set(retired) == keys_promised("retire")
    assert retired == {"pair": "v3", "state": "retired"}
    assert "not good enough" in text("pairs")


def test_a_pair_that_was_rolled_back_from_is_retired_and_pruned(store: Path) -> None:
    cli_json("reembed", "hash:32?seed=3", "--name", "v3")
    cli_json("promote", "v3", "--override", "--reason", "to try it")
    cli_json("rollback", "--reason", "no better")
    # The promote had told the searchers to load it, and nothing else was promoted since.
    assert cli_json("retire", "v3") == {"pair": "v3", "state": "retired"}
    with connect(store) as opened:
        aliases = opened.status()["alias"]
        assert aliases["candidate"]["pair"] == aliases["live"]["pair"] == "v2"
    for line in text("history", "--all").splitlines():
        if "v3 was retired" in line:
            break
    else:
        raise AssertionError("the move of `candidate` is not in the history")


def test_a_pair_that_is_tried_is_not_retired(here: Path, store: Path) -> None:
    (here / "vecrollback.toml").write_text("[canary]\nsteps = [5]\nbake_seconds = 0\n")
    cli("reembed", "hash:32?seed=3", "--name", "v3")
    cli("canary", "start", "v3", "--override", "--reason", "to see")
    assert refusal("retire", "v3", code=3)["hint"] == "`vecrollback canary stop` first"
    cli("canary", "stop", "--reason", "enough")
    cli("retire", "v3")
