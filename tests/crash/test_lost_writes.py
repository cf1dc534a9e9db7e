"""The power goes at any call of any command: what was acknowledged is there, and nothing half done shows.

What was not synced is lost in part, in any order: see `tests.support.power`. `pytest -m slow -s
tests/crash/test_lost_writes.py` goes over every operation; the seed is printed and taken from VECROLLBACK_SEED.
"""

from __future__ import annotations

import os
import random
import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.crash.test_system_calls import OPERATIONS, laid_out, look, template
from tests.support.faults import require_strace, run_traced
from tests.support.power import lose, record

__all__ = ["template"]  # the fixture

ELSEWHERE = (
    *("history export", "backup create", "backup restore", "erasures export", "snapshot export", "pair export"),
    *("incident export", "check", "init", "search", "purity"),
)
"""Commands that write files beside the store, or nothing but what is derived."""
LOSSY = [name for name in OPERATIONS if name not in ELSEWHERE]


def test_what_was_acknowledged_survives_a_power_loss(template: Path, tmp_path: Path) -> None:
    require_strace()
    _lose_and_look(template, tmp_path, "ingest", random.Random(5), losses=2)


@pytest.mark.slow
@pytest.mark.parametrize("operation", LOSSY)
def test_what_was_acknowledged_survives_every_power_loss(template: Path, tmp_path: Path, operation: str) -> None:
    require_strace()
    seed = os.environ.get("VECROLLBACK_SEED") or str(random.randrange(10**6))
    losses = int(os.environ.get("VECROLLBACK_LOSSES", "20"))
    try:
        _lose_and_look(template, tmp_path, operation, random.Random(f"{seed} {operation}"), losses=losses)
    except BaseException:
        print(f"{operation}: seed {seed}")
        raise
    print(f"{operation}: seed {seed}, {losses} losses of power")


def _lose_and_look(template: Path, tmp_path: Path, operation: str, chance: random.Random, *, losses: int) -> None:
    """Every second loss comes when the command has ended."""
    root = laid_out(template, tmp_path / "world", operation)
    before = shutil.copytree(root, tmp_path / "before")
    recorded = record(root, tmp_path / "trace", partial(_run, root, operation))
    for number in range(losses):
        late = number % 2 == 1
        left = tmp_path / f"left{number}" / "store"
        lose(before, root, recorded, left, chance, late=late)
        try:
            look(left, operation, acknowledged=late)
        except BaseException as error:
            error.add_note(f"{operation}: loss {number}, {'after the end' if late else 'before the end'}")
            raise
        shutil.rmtree(left)


def _run(root: Path, operation: str, options: list[str]) -> None:
    done = run_traced(root, OPERATIONS[operation], options)
    assert done.returncode == 0, done.stderr
