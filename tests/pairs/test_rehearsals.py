"""What a drill leaves behind that is killed goes with whatever cleans up next, and with nothing while a drill runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import vecrollback
from tests.support.two_pairs import TEXTS, build
from vecrollback import Store
from vecrollback.catalog.aliases import SCRATCH
from vecrollback.errors import PairStateError
from vecrollback.pairs.rehearsals import rehearsing, room
from vecrollback.records import AliasTarget, RetentionRules

_KILLED = """
import os, signal, sys
import vecrollback
from vecrollback.store.automation.drills import rehearsal, run

def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

rehearsal.await_warm = die
run.CHAOS = {**run.CHAOS, "disk-full": die}
vecrollback.connect(sys.argv[1]).drill(sys.argv[2])
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which two drills were killed: `one` is live, `two` served before."""
    root = build(tmp_path_factory.mktemp("template") / "store")
    with vecrollback.connect(root) as store, rehearsing(store.resources):  # or the second would clean up the first
        for chaos in ("", "disk-full"):
            command = [sys.executable, "-c", _KILLED, str(root), chaos]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            assert done.returncode == -signal.SIGKILL, done.stderr
    return root


def rehearsals(store: Store) -> tuple[list[str], list[Path]]:
    aliases = [name for name in store.resources.catalog.aliases.all() if name.startswith(SCRATCH)]
    return aliases, list(store.resources.cache.glob("drill-*"))


def holding(root: Path, text: str) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_purge_takes_the_texts_in_the_copy_of_a_killed_drill(root: Path) -> None:
    with vecrollback.connect(root) as store:
        assert [len(left) for left in rehearsals(store)] == [1, 1]
        assert holding(root / "cache", TEXTS["d7"]) != []
        store.delete(["d7"])
        store.compact(purge=True)
        assert rehearsals(store) == ([], [])
    assert holding(root, TEXTS["d7"]) == []


@pytest.mark.parametrize("clean", ["tidy", "prune", "retire", "drill"])
def test_whatever_cleans_up_next_takes_it(root: Path, clean: str) -> None:
    with vecrollback.connect(root) as store:
        if clean == "tidy":
            store.retention.tidy()
        elif clean == "prune":
            store.retention.apply(store.retention.plan(RetentionRules(1, cool_down=0)))
        elif clean == "retire":
            store.rollback(reason="worse", catch_up=False)
            store.retention.retire(store.pair("one"))  # which the alias that was left held
        else:
            assert store.drill().verdict == "pass"
        assert rehearsals(store) == ([], [])


def test_nothing_is_taken_from_a_drill_that_runs(root: Path, store: Store) -> None:
    catalog = store.resources.catalog
    with vecrollback.connect(root) as other, rehearsing(other.resources), room(other.resources) as folder:
        (folder / "copy").write_text("in use")
        other._parts.switch.stage(f"{SCRATCH}1", vecrollback.records.MoveRequest("a drill", "tester"))
        store.retention.tidy()
        store.compact(purge=True)
        assert (folder / "copy").read_text() == "in use"
        assert catalog.aliases.get(f"{SCRATCH}1") == AliasTarget("one", 1, 1)
        store.rollback(reason="worse", catch_up=False)
        with pytest.raises(PairStateError, match="held by alias 'drill-1'") as refused:
            store.retention.retire(store.pair("one"))
        assert refused.value.hint == "a drill runs; try again when it has ended"
    assert not folder.exists()
    store.retention.retire(store.pair("one"))
    assert rehearsals(store) == ([], [])
