"""Prune: what nothing keeps goes, what anything keeps stays, whoever works beside it.

Covers pairs.removable_files.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, start
from tests.support.oracle import ONE, QUERIES, THREE, TWO, assert_passes
from vecrollback import Document, Store
from vecrollback.errors import CorruptArtifactError, LockHeldError, PairStateError, UnknownNameError
from vecrollback.records import RetentionRules

NOW = RetentionRules(snapshots=1, cool_down=0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} on the lake") for n in range(30)])
        for name, spec in (("one", ONE), ("two", TWO)):
            store.promote(store.reembed(spec, name=name, index="Flat").wait())
    return root


def rebuilt(store: Store, pair: str) -> str:
    """A snapshot with an index of its own."""
    store.upsert([Document("changing", f"{pair} at {time.monotonic_ns()}")])
    store.catch_up(pair)
    return store.snapshot(pair, rebuild=True).ref


def files(store: Store) -> set[str]:
    return {path.relative_to(store.root).as_posix() for path in store.root.rglob("*") if path.is_file()}


def test_what_nothing_keeps_goes_and_what_is_named_stays(store: Store) -> None:
    rebuilt(store, "two")
    store.tag("kept", "two@2")
    for _ in range(3):
        rebuilt(store, "two")
    plan = store.retention.plan(NOW)
    assert plan.snapshots == ("two@1", "two@3", "two@4")
    assert set(plan.kept) == {"one@1", "two@2", "two@5"}
    assert plan.kept["two@2"] == "tag 'kept'"
    assert plan.bytes == sum((store.root / file.path).stat().st_size for file in plan.files) > 0
    before = files(store)
    assert before == files(store), "a plan changes nothing"

    done = store.retention.apply(plan)
    assert (done.snapshots, done.files, done.spared) == (plan.snapshots, plan.files, {})
    assert before - files(store) == {file.path for file in plan.files}
    for pair in ("one", "two"):
        assert_passes(store.check(pair, sample=EVERY_ROW))
    with pytest.raises(UnknownNameError):
        store.restore("two@3", reason="it is gone")
    assert store.restore("two@2", reason="it was tagged", catch_up=False).target == "two@2"
    assert store.rollback("one", reason="the way back").target == "one@1"
    assert rebuilt(store, "two") == "two@6", "a number is given once"


@pytest.mark.parametrize(
    "keep", [RetentionRules(snapshots=9, cool_down=0), RetentionRules(snapshots=1, cool_down=3600)]
)
def test_nothing_goes_before_its_time(store: Store, keep: RetentionRules) -> None:
    for _ in range(3):
        rebuilt(store, "two")
    plan = store.retention.plan(keep)
    assert (plan.snapshots, plan.files) == ((), ())


def test_what_was_live_within_the_cool_down_stays(store: Store) -> None:
    first = store.live().ref
    for _ in range(2):
        rebuilt(store, "two")
    time.sleep(1.1)
    assert first in store.retention.plan(NOW).snapshots
    store.restore(first, reason="back", catch_up=False)
    store.restore("two@3", reason="and forth", catch_up=False)
    for tag in store.tags():
        store.untag(tag)
    assert "alias 'live' moved" in store.retention.plan(RetentionRules(snapshots=1, cool_down=1)).kept[first]


def test_what_a_searcher_holds_open_stays_until_it_ends(store: Store) -> None:
    with store.searcher() as searcher:
        assert searcher.search(QUERIES[0]).snapshot == 1
        for _ in range(2):
            rebuilt(store, "one")
        searchers = store.resources.catalog.searchers
        while not any("one@3" in searcher.warm for searcher in searchers.registered("live")):
            time.sleep(0.01)
        assert "searcher" in store.retention.plan(NOW).kept.get("one@3", "")
    assert store.retention.plan(NOW).snapshots == ("one@1", "one@2")


def test_a_retired_pair_goes_whole(store: Store) -> None:
    for pair in ("one", "two"):
        with pytest.raises(PairStateError, match=r"is (live|standby)"):
            store.retention.retire(store.pair(pair))
    unused = store.reembed(THREE, name="three", index="Flat").wait()
    assert store.retention.plan(NOW).pairs == ()
    store.tag("held", unused.ref)
    store.retention.retire(unused, "no better")
    assert store.retention.plan(NOW).pairs == ()
    store.untag("held")
    with pytest.raises(PairStateError, match="retired"):
        store.promote("three")
    table = store.root / "tables" / "vectors-three.lance"
    assert table.exists()
    done = store.retention.apply(store.retention.plan(NOW))
    assert (done.pairs, done.snapshots, done.spared) == (("three",), ("three@1",), {})
    assert [pair.name for pair in store.pairs()] == ["one", "two"]
    assert not table.exists()
    assert store.report("two")
    assert store.reembed(THREE, name="three", index="Flat").wait().ref == "three@1", "it never served"
    assert store.report("two")


def test_the_name_of_a_pruned_pair_that_served_is_not_given_again(store: Store) -> None:
    store.promote(store.reembed(THREE, name="three", index="Flat").wait())  # now `one` is no way back any more
    store.retention.retire(store.pair("one"))
    store.retention.apply(store.retention.plan(NOW))
    with pytest.raises(PairStateError, match="served before"):
        store.reembed(ONE, name="one", index="Flat")
    with pytest.raises(UnknownNameError):
        store.rollback("one", reason="it is gone")
    assert store.rollback(reason="back").target == "two@1"


def test_no_file_goes_while_one_cannot_tell_what_a_snapshot_needs(store: Store) -> None:
    rebuilt(store, "two")
    manifest = store.resources.artifacts.path(store.snapshots("one")[0].manifest)
    manifest.write_bytes(b"{}")
    plan = store.retention.plan(NOW)
    assert plan.files == ()
    assert manifest.name in plan.unknown
    with pytest.raises(CorruptArtifactError):
        store.retention.apply(plan)


def test_what_comes_into_use_after_the_plan_is_spared(store: Store) -> None:
    old = rebuilt(store, "two")
    for _ in range(2):
        rebuilt(store, "two")
    plan = store.retention.plan(NOW)
    assert old in plan.snapshots
    store.restore(old, reason="needed after all", catch_up=False)
    done = store.retention.apply(plan)
    assert done.snapshots == ("two@1", "two@3")
    assert "alias 'live'" in done.spared[old]
    assert_passes(store.check("two", sample=EVERY_ROW))


def test_two_prunes_do_not_run_at_once(store: Store) -> None:
    with store.resources.catalog.lock("prune"), vecrollback.connect(store.root) as other, pytest.raises(LockHeldError):
        other.retention.apply(other.retention.plan(NOW))


_BUSY = """
import sys, time, vecrollback
from pathlib import Path
from vecrollback.errors import VecrollbackError
from vecrollback import Document
root, seconds, number, enough = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
ends, done = time.monotonic() + seconds, 0
with vecrollback.connect(root) as store:
    while (done < 6 or not enough.exists()) and time.monotonic() < ends:
        try:
            store.upsert([Document(f"b{number}", f"at {time.monotonic_ns()}")])
            store.catch_up("two")
            store.snapshot("two", rebuild=True)
            refs = [snapshot.ref for snapshot in store.snapshots()]
            store.restore(refs[done % len(refs)], reason="busy", catch_up=False)
            if done % 5 == number:
                store.retention.retire(store.reembed("hash:32?seed=77", name=f"x{number}-{done}", index="Flat").wait())
            for tag in store.tags():  # of the incidents that going back opens
                store.untag(tag)
            done += 1
        except VecrollbackError as error:
            print(type(error).__name__, error, file=sys.stderr)
print(done)
"""


def test_nothing_that_is_named_goes_while_others_write_switch_and_restore(store: Store, tmp_path: Path) -> None:
    enough = tmp_path / "enough"  # was pruned: until then the others go on
    busy = [start(str(store.root), "120", str(n), str(enough), code=_BUSY) for n in range(2)]
    pruned, chance = 0, random.Random(3)
    while any(process.poll() is None for process in busy):
        # sometimes shorter than a write takes: that is refused at its last step, and nothing is named that is gone
        rules = RetentionRules(snapshots=1, cool_down=chance.choice((0.3, 5.0)))
        done = store.retention.apply(store.retention.plan(rules))
        pruned += len(done.snapshots)
        if pruned > 3:
            enough.touch()
    said = [process.communicate() for process in busy]
    assert all(output and int(output) > 2 for output, _ in said), said
    # of a pair that the other one made live meanwhile: it is not retired
    allowed = {"CorruptArtifactError", "UnknownNameError", "HeadMovedError", "AliasMovedError", "PairStateError"}
    assert {line.split()[0] for _, errors in said for line in errors.splitlines()} <= allowed, said
    assert pruned > 3
    for snapshot in store.snapshots():
        store._parts.switch._verified(snapshot, snapshot.ref)
    for pair in store.pairs():
        if pair.state not in ("building", "retired"):
            store.catch_up(pair)
            assert_passes(store.check(pair, sample=EVERY_ROW))
    store.retention.apply(store.retention.plan(NOW))
    left = {path.name for path in store.resources.artifacts.root.iterdir()}
    named = {name for s in store.snapshots() for name in (s.manifest, *store.manifest(s.ref)[1].artifacts())}
    assert left <= named | {pair.probes for pair in store.pairs()}, "everything that nothing names went"
