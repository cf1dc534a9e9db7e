"""`worker`: pairs are kept up to date."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_worker_once_leaves_no_lag(store: Path) -> None:
    done = cli_json("worker", "--once")
    assert set(done) == keys_promised("worker")
    assert (done["rounds"], done["caught_up"], done["failures"]) == (1, 2, 0)
    assert all(pair["lag"] == 0 for pair in cli_json("pairs")["pairs"])
    assert "rounds: 1" in text("worker", "--once")
