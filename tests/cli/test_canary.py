"""`canary`: a pair on a share of the traffic."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import V1, cli, cli_json, keys_promised, refusal, text
from vecrollback import connect


def test_a_canary_is_started_watched_advanced_and_stopped(here: Path, store: Path) -> None:
    (here / "vecrollback.toml").write_text("[canary]\nsteps = [5]\nbake_seconds = 0\n")
    assert refusal("canary", "status", code=2)["hint"] == "`vecrollback canary start PAIR`"
    cli("reembed", V1, "--name", "v3")
    cli("check", "v3")
    begun = cli_json("canary", "start", "v3", "--reason", "to see")
    assert set(begun) == keys_promised("canary", "start")
    assert "salt" not in begun["canary"]
    assert "v3 is tried against v2: step 0" in text("canary", "status")
    assert refusal("canary", "advance", code=3)["type"] == "PairStateError"
    assert "--reason" in refusal("canary", "advance", "--override", code=2)["hint"]
    assert cli_json("canary", "advance", "--override", "--reason", "a quiet night")["canary"]["share"] == 5.0
    assert "promote v3" in text("canary", "status")
    assert refusal("canary", "stop", code=2)["hint"]
    ended = cli_json("canary", "stop", "--reason", "enough")
    assert (ended["end_reason"], ended["pair"]) == ("enough", "v3")
    with connect(store) as opened:
        assert opened.live().name == "v2"


def test_a_dry_run_of_a_canary_tells_how_old_it_is_and_starts_nothing(here: Path, store: Path) -> None:
    assert "is live already" in cli_json("canary", "start", "v2", "--dry-run", code=1)["obstacle"]
    plan = cli_json("canary", "start", "v1", "--dry-run")
    assert (plan["pair"], plan["live"], plan["lag"], plan["obstacle"]) == ("v1", "v2@1", 3, "")
    assert "it would be tried" in text("canary", "start", "v1", "--dry-run")
    assert refusal("canary", "status", code=2)["hint"] == "`vecrollback canary start PAIR`"
