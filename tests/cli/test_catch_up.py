"""`catch-up`: pairs reach the head of the log."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, text


def test_catch_up_takes_live_and_standby(store: Path) -> None:
    done = cli_json("catch-up")
    assert set(done) == keys_promised("catch-up")
    assert [(one["pair"], one["lag"]) for one in done["pairs"]] == [("v2", 0), ("v1", 0)]
    assert "v1: 0 changes" in text("catch-up", "v1")
