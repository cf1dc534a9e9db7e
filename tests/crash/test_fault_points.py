"""A process killed at any point loses nothing that was acknowledged, and the next one finishes its work."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, OPERATIONS, ROOT, burden, damage, half_built, prepare, scatter, start
from tests.support.oracle import EVERYTHING, QUERIES, THREE, assert_passes, assert_serves
from vecrollback import Store
from vecrollback.records import RetentionRules

_BATCH = {"table.data_synced": 1, "table.committed": 1, "vectors.appended": 1}
_TWO_BATCHES = dict.fromkeys(_BATCH, 2)
"""New documents first, then those that changed."""

_SNAPSHOT = {"artifact.written": 3, "artifact.renamed": 3, "snapshot.registered": 1}
_MOVE = {"switch.before_commit": 1, "switch.after_commit": 1}
_WRITES = {
    "table.data_synced": 4,
    "table.committed": 4,
    "corpus.earlier_kept": 2,
    "corpus.merged": 2,
    "corpus.acknowledged": 2,
}
"""Of two writes: first what documents were, then what they are."""


POINTS: dict[str, dict[str, int]] = {
    "upsert": _WRITES | {"table.committed": 5},
    "go_back": {point: count // 2 for point, count in _WRITES.items()},
    "delete": _WRITES,
    "reembed": _BATCH | {"pair.advanced": 2, "artifact.written": 4, "artifact.renamed": 4, "snapshot.registered": 1},
    "reembed_sharded": _BATCH
    | {"pair.advanced": 2, "artifact.written": 6, "artifact.renamed": 6, "shard.kept": 3, "snapshot.registered": 1},
    "promote": _TWO_BATCHES | {"pair.advanced": 3, "switch.before_commit": 2, "switch.after_commit": 2},
    "rollback": _TWO_BATCHES | {"pair.advanced": 3} | _MOVE,
    "restore": _TWO_BATCHES | {"pair.advanced": 3} | _MOVE,
    "catch_up": _TWO_BATCHES | {"pair.advanced": 3},
    "repair": _BATCH | {"pair.advanced": 1} | _SNAPSHOT,
    "repair_masked": _TWO_BATCHES | {"pair.advanced": 2} | _SNAPSHOT,
    "snapshot": _SNAPSHOT,
    "cascade": _BATCH
    | {"pair.advanced": 1, "artifact.written": 4, "artifact.renamed": 4, "snapshot.registered": 1}
    | dict.fromkeys(_MOVE, 2),
    "cascade_queries": _BATCH | {"pair.advanced": 1},
    "cascade_fill": _TWO_BATCHES | {"pair.advanced": 3} | _SNAPSHOT,
    "prune": {
        "prune.snapshot_forgotten": 1,
        "prune.pair_forgotten": 1,
        "prune.set_aside": 1,
        "prune.file_removed": 7,
    },
    "tidy": {
        "table.data_synced": 4,
        "corpus.compacted": 1,
        "corpus.compaction_acknowledged": 1,
        "corpus.earlier_compacted": 1,
        "vectors.compacted": 2,
        "pair.advanced": 2,
        "table.forgetting": 4,
        "vectors.forgotten": 2,
    },
    "compact": {
        "table.data_synced": 2,
        "corpus.compacted": 1,
        "corpus.compaction_acknowledged": 1,
        "corpus.earlier_compacted": 1,
    },
}
"""Operation -> fault point -> how often it is passed. `test_every_fault_point_is_killed_at` keeps it true."""

_STEPS_OF_OTHERS = {
    "delete": {"table.data_synced", "table.committed"},
    "go_back": {"table.data_synced"},
    **{move: set(_TWO_BATCHES) for move in ("promote", "rollback", "restore")},
    "repair": set(_SNAPSHOT),
    "repair_masked": {"table.data_synced", "table.committed", *_SNAPSHOT},
    "compact": {"corpus.compacted", "corpus.compaction_acknowledged", "corpus.earlier_compacted"},
}
"""Writing as in `upsert`, the catch-up before or after a move, the snapshot after a repair, compacting as in `tidy`."""

_LAST_TOO = {"upsert", "reembed", "reembed_sharded", "promote", "catch_up", "tidy"}
"""Operations that are killed at the last passing of a point too: one of each kind."""

_OF_A_CASCADE = {"vectors.appended", "snapshot.registered", "switch.after_commit"}
"""It is made of steps that others are made of: the points at which something of its own begins."""


def _repeats(operation: str, point: str, number: int, count: int) -> bool:
    """Whether another case shows the same: between the first time and the last, or in the same step elsewhere."""
    elsewhere = operation.startswith("cascade") and point not in _OF_A_CASCADE
    later = number > 1 and (number < count or operation not in _LAST_TOO)
    return elsewhere or later or point in _STEPS_OF_OTHERS.get(operation, ())


CASES = [
    pytest.param(
        operation,
        point,
        number,
        id=f"{operation}-{point}-{number}",
        marks=pytest.mark.slow if _repeats(operation, point, number, count) else (),
    )
    for operation, points in POINTS.items()
    for point, count in points.items()
    for number in range(1, count + 1)
    if operation != "reembed_sharded" or point == "shard.kept"  # the others are those of a re-embedding
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    prepare(root)
    return root


@pytest.fixture(scope="module")
def finished(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What stores answer in which the operation was never interrupted."""
    known: dict[str, dict[str, Any]] = {}

    def of(operation: str) -> dict[str, Any]:
        if operation not in known:
            root = copied(template, tmp_path_factory.mktemp(operation), operation)
            with vecrollback.connect(root) as store:
                OPERATIONS[operation](store)
            known[operation] = outcome(root)
        return known[operation]

    return of  # type: ignore[return-value]


def copied(template: Path, folder: Path, operation: str) -> Path:
    root = folder / "store"
    # As young as if it had just been written: versions are cleaned away when they are old.
    shutil.copytree(template, root, copy_function=shutil.copy)
    if prepared := {
        "repair": damage,
        "repair_masked": damage,
        "prune": burden,
        "tidy": scatter,
        "cascade_queries": half_built,
        "cascade_fill": half_built,
    }.get(operation):
        prepared(root)
    return root


def outcome(root: Path) -> dict[str, Any]:
    """Everything a user can see, in a process that has not touched the store yet."""
    with vecrollback.connect(root) as store:
        seen: dict[str, Any] = {"answers": answers(store), "live": store.live().name}
        state = store.status()
        seen["corpus"] = state["corpus"]
        seen["pairs"] = [(p["name"], p["state"], p["watermark"]) for p in state["pairs"]]
        for pair in store.pairs():
            store.catch_up(pair)
            assert_passes(store.check(pair, sample=EVERY_ROW))
        texts = {document.id: document.text for document in store.get(every_id(store)).values()}
        seen["texts"] = texts
        assert_serves(store, texts)
    return seen


def answers(store: Store) -> list[list[tuple[str, float, bool]]]:
    found = [store.search(query, k=EVERYTHING).hits for query in QUERIES]
    return [[(hit.id, round(hit.score, 5), hit.stale) for hit in hits] for hits in found]


def every_id(store: Store) -> list[str]:
    return [f"d{n}" for n in range(30)] + ["new", "n1", "n2", "late0", "late1", "never there"]


@pytest.mark.parametrize(("operation", "point", "number"), CASES)
def test_killed_operation_loses_nothing_and_is_finished(
    operation: str, point: str, number: int, template: Path, finished: Any, tmp_path: Path
) -> None:
    root = copied(template, tmp_path, operation)
    process = start(str(root), operation, VECROLLBACK_FAULT=f"{point}:{number}")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    with vecrollback.connect(root) as store:
        assert_acknowledged(store, [json.loads(line) for line in output.splitlines()])
        assert_history_unbroken(store)
        OPERATIONS[operation](store)
    assert outcome(root) == finished(operation)
    with vecrollback.connect(root) as store:
        assert operation != "prune" or not store.retention.plan(RetentionRules(1, cool_down=0)).files
        for alias in store.status()["alias"].values():
            assert alias["snapshot"] == store.pair(alias["pair"]).snapshot, "what serves is not what a check looks at"


def assert_acknowledged(store: Store, facts: list[dict[str, Any]]) -> None:
    """Everything that the process said is so."""
    shown = {hit.id for query in QUERIES for hit in store.search(query, k=EVERYTHING).hits}
    for fact in facts:
        assert store.status()["corpus"]["head"] >= fact.get("seq", 0)
        for id_, text in fact.get("upserted", {}).items():
            assert store.get([id_])[id_].text == text
        assert not store.get(fact.get("deleted", []))
        assert not shown & set(fact.get("deleted", []))
        if "live" in fact:
            assert store.live().name == fact["live"]
            assert store.history(alias="live", limit=1)[0].epoch == fact["epoch"]
        if "pair" in fact:
            assert store.pair(fact["pair"]).state == "ready"
        if "watermark" in fact:
            assert store.pair("two").watermark == fact["watermark"]
        if "snapshot" in fact:
            assert fact["snapshot"] in [snapshot.ref for snapshot in store.snapshots()]


def assert_history_unbroken(store: Store) -> None:
    moves = store.history(alias="live")
    alias = store.status()["alias"]["live"]
    assert moves[0].target == f"{alias['pair']}@{alias['snapshot']}"
    assert [move.epoch for move in moves] == list(range(alias["epoch"], 0, -1))


def test_pair_that_was_never_registered_stands_in_nobodys_way(template: Path, tmp_path: Path) -> None:
    """A process died when its pair had a table and no name; the name is free, for a model of another dimension too."""
    root = copied(template, tmp_path, "reembed")
    with vecrollback.connect(root) as store:
        dying = mock.patch.object(store.resources.catalog.pairs, "add", side_effect=SystemExit)
        with dying, pytest.raises(SystemExit):
            store.reembed(THREE, name="three")
    with vecrollback.connect(root) as store:
        store.reembed("hash:64?seed=3", name="three", index="Flat").wait()
        assert_passes(store.check("three"))


def test_every_fault_point_is_killed_at(template: Path, tmp_path: Path) -> None:
    """A new point, or one that an operation begins to pass, needs its line in the table."""
    passed: dict[str, dict[str, int]] = {}
    for operation in OPERATIONS:
        root = copied(template, tmp_path / operation, operation)
        output, errors = start(str(root), operation, "--trace").communicate(timeout=60)
        assert output, errors
        passed[operation] = json.loads(output.splitlines()[-1])["points"]
    assert passed == POINTS
    rooms = ("bundle", "adopt", "backend", "backup", "travel")
    tests = [path for room in rooms for path in (ROOT / "tests").rglob(f"*{room}*.py")]
    others = "".join(path.read_text(encoding="utf-8") for path in tests)
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "vecrollback").rglob("*.py"))
    elsewhere = set(re.findall(rf"(?:{'|'.join(rooms)})\.[a-z_]+", others))
    named = set(re.findall(r'reach\("([^"]+)"\)', code))
    assert named - elsewhere == {point for points in passed.values() for point in points}


def test_processes_killed_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    kill_storm(tmp_path / "store", rounds=6, seed=1)


@pytest.mark.slow
def test_processes_killed_at_random_moments_many_times_lose_nothing(tmp_path: Path) -> None:
    kill_storm(tmp_path / "store", rounds=200, seed=random.randrange(10**6))


def kill_storm(root: Path, *, rounds: int, seed: int) -> None:
    """Kill a writer and a builder of pairs again and again in one store; look after each time."""
    chance = random.Random(seed)
    vecrollback.connect(root, create=True).close()
    said: dict[str, str | None] = {}
    for _ in range(rounds):
        processes = [start(str(root), "write_for_ever"), start(str(root), "build_for_ever")]
        assert processes[0].stdout
        first = processes[0].stdout.readline()  # both are up by now, or nearly
        time.sleep(chance.uniform(0, 0.7))
        for process in chance.sample(processes, 2):
            process.kill()
            time.sleep(chance.uniform(0, 0.05))
        output, built = (process.communicate(timeout=60)[0] for process in processes)
        assert all(process.returncode == -signal.SIGKILL for process in processes), seed
        begun = account(said, (first + output).splitlines())
        with vecrollback.connect(root) as store:
            assert_kept(store, said, begun, [json.loads(line) for line in whole_lines(built)])
    with vecrollback.connect(root) as store:
        pair = store.reembed("hash:32?seed=0", name="p0", index="Flat").wait()
        if store.status()["alias"].get("live", {}).get("pair") != pair.name:
            store.promote(pair, override=True, reason="the storm is over")
        for each in store.pairs():
            store.reembed(each.embedder, name=each.name).wait()
            store.catch_up(each)
            assert_passes(store.check(each))
        assert_serves(store, {id_: document.text for id_, document in store.get([f"w{n}" for n in range(40)]).items()})


def whole_lines(output: str) -> list[str]:
    return [line for line in output.splitlines(keepends=True) if line.endswith("\n")]


def account(said: dict[str, str | None], lines: list[str]) -> dict[str, str | None]:
    """Take in what a writer acknowledged; returns what it had begun and not acknowledged."""
    begun: dict[str, str | None] = {}
    for line in lines:
        fact = json.loads(line)
        if "begun" in fact:
            begun = fact["begun"]
        else:
            said |= fact["done"]
            begun = {}
    return begun


def assert_kept(
    store: Store, said: dict[str, str | None], begun: dict[str, str | None], built: list[dict[str, str]]
) -> None:
    store.delete(["nobody"])  # a writer, which finishes what a dead one left
    present = {id_: document.text for id_, document in store.get(list(said | begun)).items()}
    for id_ in said | begun:
        allowed = {said.get(id_)} | ({begun[id_]} if id_ in begun else set())
        assert present.get(id_) in allowed, id_
        said[id_] = present.get(id_)
    for fact in built:
        if "ready" in fact:
            assert store.pair(fact["ready"]).state != "building"
        if "live" in fact:
            assert fact["live"] in [move.target for move in store.history(alias="live")]
    for pair in store.pairs():
        if pair.snapshot:
            assert_passes(store.check(pair))
