"""`catch-up`: pairs reach the head of the log."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from tests.cli.support import cli_json, keys_promised, refusal, text
from tests.support.models import DOWN
from tests.support.topics import documents


def test_catch_up_takes_live_and_standby(store: Path) -> None:
    done = cli_json("catch-up")
    assert set(done) == keys_promised("catch-up")
    assert [(one["pair"], one["lag"]) for one in done["pairs"]] == [("v2", 0), ("v1", 0)]
    assert "v1: 0 changes" in text("catch-up", "v1")


def test_while_a_model_is_gone_a_bridge_brings_documents(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vecrollback.connect() as store:
        store.upsert(documents(250))
        for name, spec in (("old", "tests.support.models:touchy"), ("new", "hash:256?seed=1")):
            store.reembed(spec, name=name, index="Flat").wait()
        store.bridge("new", "old", seed=1)
        store.upsert(documents(5, seed=2))
        store.promote("old", override=True, reason="a test")
        store.upsert(documents(7, seed=3))
    assert "the model of pair 'old' answers" in refusal("catch-up", "old", "--by", "bridge", code=2)["message"]
    (here / "down").touch()
    monkeypatch.setenv(DOWN, str(here / "down"))
    assert cli_json("catch-up", "old", "--by", "bridge")["pairs"][0]["bridged"] == 7
    assert "by bridge  7 documents; `vecrollback repair old`" in text("status")
    (here / "down").unlink()
    done = cli_json("repair", "old")
    assert [one["kind"] for one in done["before"]["findings"]] == ["bridged_vector"]
    assert done["after"]["findings"] == []
    assert "by bridge" not in text("status")
