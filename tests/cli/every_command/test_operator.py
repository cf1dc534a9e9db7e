"""Tried as somebody who is woken up would: each next command is one that the terminal has just shown."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.support import text
from tests.support.http_server import V1, V2, build
from vecrollback import connect

_V3 = "hash:64?seed=3"
_NEXT = re.compile(r"(?:alert|note)\s.*\s{2}vecrollback (.+)$", re.MULTILINE)
_STEPS = 6


@pytest.fixture
def store(tmp_path: Path) -> Path:
    disk = shutil.disk_usage(tmp_path)
    if disk.free < 0.12 * disk.total:
        pytest.skip("the disk is nearly full here, and the status says Well only when it is not")
    return build(tmp_path / "store", V1, V2)


def _follow(store: Path) -> list[str]:
    """Do what `status` says next until it says that all is well; returns the commands that were typed."""
    typed = []
    while len(typed) < 2 * _STEPS:
        typed.append("status")
        said = text("status", "--store", store)
        if said.startswith("Well\n"):
            return typed
        shown = _NEXT.search(said)
        assert shown is not None, said
        typed.append(shown[1])
        text(*shlex.split(shown[1]), "--store", store)
    raise AssertionError(typed)


def test_from_a_request_of_the_policy_to_well_again_in_six_steps_that_the_terminal_shows(store: Path) -> None:
    with connect(store, actor="policy") as opened:
        opened.promote(opened.reembed(_V3, name="v3").wait(), reason="said to be better")
        assert opened.drill().verdict == "pass"
        opened.approvals.ask("rollback", None, reason="overlap 0.1 fails < 0.3", actor="policy")
    typed = _follow(store)
    assert len(typed) <= _STEPS
    assert typed == ["status", "approve 1", "status", "incident close 1 --cause 'what it was'", "status"]
    with connect(store) as opened:
        assert opened.live().name == "v2"
        [incident] = opened.incidents.all()
        assert (incident.state, incident.verdict) == ("closed", "pass")


def test_from_a_rollback_by_the_policy_to_well_again(store: Path) -> None:
    with connect(store, actor="policy") as opened:
        opened.promote(opened.reembed(_V3, name="v3").wait(), reason="said to be better")
        assert opened.drill().verdict == "pass"
        opened.rollback(reason="standout 0.4 > 0.25")
    assert _follow(store) == ["status", "incident close 1 --cause 'what it was'", "status"]
