"""`repair`: what a check found wrong is embedded again.

Covers reembedding.repair.
"""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_repair_leaves_a_sound_pair_alone(store: Path) -> None:
    done = cli_json("repair")
    assert set(done) == keys_promised("repair")
    assert done["after"] is None
    assert "nothing to repair" in text("repair")


def test_repair_mends_what_the_check_found(damaged: Path) -> None:
    assert cli_json("repair", "v1", "--dry-run", code=1)["after"] is None
    done = cli_json("repair", "v1")
    assert done["before"]["verdict"] == "fail"
    assert done["after"]["verdict"] == "pass"
    assert text("check", "v1")
