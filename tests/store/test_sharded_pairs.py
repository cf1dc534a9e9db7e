"""A pair whose index is in shards is a pair like any other: one pointer, one check, one bundle, nothing partial."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.cli.support import cli_json
from tests.support import bundle_files
from tests.support.operations import EVERY_ROW, start, words
from tests.support.oracle import (
    EVERYTHING,
    ONE,
    QUERIES,
    THREE,
    TOLERANCE,
    TWO,
    assert_answers,
    assert_passes,
    assert_serves,
    exact,
)
from tests.support.postgres import PostgresServer
from tests.support.s3_server import ObjectServer
from tests.support.traffic import start_traffic, stop_traffic
from vecrollback import Document, Store
from vecrollback.errors import BundleError, CorruptArtifactError, JobCancelledError, RecallTooLowError
from vecrollback.indexes.sharded import shard_of
from vecrollback.pairs.manifest import MANIFEST_FORMAT, Manifest, load_manifest
from vecrollback.pairs.snapshots import load_ids, open_indexed
from vecrollback.records import Progress, RetentionRules

TEXTS = {f"d{n}": words(n) for n in range(30)}
SPECS = {"one": ONE, "two": TWO}
SHARDED = "shards:3(Flat)"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 documents; `two`, in one piece, served before `one`, which is live and in shards."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name, index in (("two", "Flat"), ("one", SHARDED)):
            store.promote(store.reembed(SPECS[name], name=name, index=index).wait())
    return root


def manifest(store: Store, ref: str) -> Manifest:
    found = next(one for one in store.snapshots() if one.ref == ref)
    return load_manifest(store.resources.artifacts, found.manifest)


def test_shards_hold_whole_documents_and_are_named_in_the_manifest(store: Store) -> None:
    found = manifest(store, "one@1")
    ids = load_ids(store.resources.artifacts, found)["doc_id"].to_pylist()
    first = 0
    for number, shard in enumerate(found.index.shards):
        assert {shard_of(id_, 3) for id_ in ids[first : first + shard.chunks]} <= {number}
        store.resources.artifacts.require(shard.artifact)
        first += shard.chunks
    assert first == len(ids) == len(TEXTS) and found.index.spec == SHARDED


def test_a_build_tells_its_shards_and_stops_between_them_when_it_is_cancelled(store: Store) -> None:
    phases: list[str] = []

    def watch(progress: Progress) -> None:
        if progress.phase not in phases:
            phases.append(progress.phase)
        if progress.phase == "indexing: shard 2 of 4" and len(phases) < 9:
            job.cancel()

    job = store.reembed("hash:32?seed=4", name="four", index="shards:4(Flat)", progress=watch)
    with pytest.raises(JobCancelledError):
        job.wait()
    assert phases[-2:] == ["indexing: shard 1 of 4", "indexing: shard 2 of 4"]
    phases = ["again"] * 9
    assert store.reembed("hash:32?seed=4", name="four", index="shards:4(Flat)", progress=watch).wait().state == "ready"
    told = [phase for phase in phases if phase.startswith("indexing: ")]
    assert told == ["indexing: shard 4 of 4"], "the shard that was under way was finished, and none is built again"


def test_a_build_that_was_killed_builds_no_finished_shard_again(root: Path, store: Store) -> None:
    process = start(str(root), "reembed_sharded", VECROLLBACK_FAULT="shard.kept:2")
    assert (process.communicate(timeout=60), process.returncode)[1] == -signal.SIGKILL
    phases: list[str] = []
    job = store.reembed(THREE, name="three", index=SHARDED, progress=lambda progress: phases.append(progress.phase))
    assert_passes(store.check(job.wait()))
    assert {phase for phase in phases if "shard" in phase} == {"indexing: shard 3 of 3"}


def test_only_a_sharded_snapshot_asks_for_a_newer_program(store: Store, root: Path) -> None:
    bodies = {
        one.ref: json.loads((root / "artifacts" / one.manifest).read_text(encoding="utf-8"))
        for one in store.snapshots()
    }
    assert bodies["one@1"]["format"] == 2 and bodies["two@1"]["format"] == 1
    assert "shards" not in bodies["two@1"]["index"]
    newer = store.resources.artifacts.put_json(bodies["one@1"] | {"format": MANIFEST_FORMAT + 1})
    with pytest.raises(CorruptArtifactError, match=f"format {MANIFEST_FORMAT + 1}") as refused:
        load_manifest(store.resources.artifacts, newer)
    assert "upgrade" in refused.value.hint


def test_a_sharded_pair_answers_exactly_through_upserts_deletes_and_a_new_index(store: Store) -> None:
    assert_serves(store, TEXTS)
    texts = TEXTS | {"d3": words(50, 2), "new": "bread and boats"}
    store.upsert([Document(id_, texts[id_]) for id_ in ("d3", "new")])
    store.delete(["d1", "d2"])
    texts = {id_: text for id_, text in texts.items() if id_ not in ("d1", "d2")}
    store.catch_up("one")
    assert_serves(store, texts)
    store.snapshot("one", rebuild=True)
    store.restore("one@2", reason="the new index")
    assert_serves(store, texts)
    assert_passes(store.check("one", sample=EVERY_ROW))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_documents_than_shards(count: int, tmp_path: Path) -> None:
    texts = {f"d{n}": words(n) for n in range(count)}
    with vecrollback.connect(tmp_path / "few", create=True) as store:
        store.upsert([Document(id_, text) for id_, text in texts.items()])
        store.promote(store.reembed(ONE, name="one", index="shards:5(auto)").wait())
        assert_serves(store, texts)
        assert_passes(store.check("one"))
        store.export_snapshot("one@1", tmp_path / "one.bundle")
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        store.catch_up("one")
        assert_serves(store, TEXTS)


@pytest.mark.law
def test_one_pointer_between_a_sharded_and_an_unsharded_pair(root: Path) -> None:
    """No answer fails or mixes the two while `live` flips between them."""
    wanted = {(name, query): exact(spec, TEXTS, query) for name, spec in SPECS.items() for query in QUERIES}
    followers = [start_traffic(root, "query", "follow"), start_traffic(root, "query", "store")]
    flipper = start_traffic(root, "flip")
    ends = time.monotonic() + 40
    with vecrollback.connect(root) as store, store.searcher() as searcher:
        while flipper[1].read_text(encoding="utf-8").count("\n") < 8 and time.monotonic() < ends:
            for query in QUERIES:
                result = searcher.search(query, k=EVERYTHING)
                assert_answers(result, SPECS[result.pair], TEXTS, query)
        moves, *asked = stop_traffic(flipper, *followers)
        targets = {move.epoch: move.target.partition("@")[0] for move in store.history(alias="live")}
    assert len(moves) >= 8
    for results in asked:
        assert {result["pair"] for result in results} == {"one", "two"}
        for result in results:
            exactly = wanted[result["pair"], result["query"]]
            assert targets[result["epoch"]] == result["pair"]
            assert result["scores"].keys() == exactly.keys()
            assert max(abs(score - exactly[id_]) for id_, score in result["scores"].items()) < TOLERANCE


def test_rollbacks_and_restores_under_queries_fail_none_and_mix_none(root: Path) -> None:
    with vecrollback.connect(root) as store, store.searcher() as searcher, ThreadPoolExecutor(2) as pool:
        store.reembed(THREE, name="three", index="shards:4(Flat)").wait()
        store.promote("three")
        specs, answered, ended = SPECS | {"three": THREE}, [""], threading.Event()

        def ask() -> None:
            while not ended.is_set():
                for query in QUERIES:
                    result = searcher.search(query, k=EVERYTHING)
                    assert_answers(result, specs[result.pair], TEXTS, query)
                    answered[0] = result.pair

        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for back, exactly in (("one", "three@1"), ("two", "one@1"), ("three", "two@1"), ("one", "three@1")):
                store.rollback(back, reason="back", override=True, catch_up=False)
                await_answer(answered, back)
                store.restore(exactly, reason="exactly this", catch_up=False)
                await_answer(answered, exactly.partition("@")[0])
        finally:
            ended.set()
        for one in asking:
            one.result()


def await_answer(answered: list[str], pair: str) -> None:
    ends = time.monotonic() + 20
    while answered[0] != pair:
        assert time.monotonic() < ends, f"no answer by {pair}, the last was by {answered[0]}"
        time.sleep(0.01)


def test_a_damaged_shard_is_found_and_mended(root: Path, store: Store) -> None:
    shard = manifest(store, "one@1").index.shards[1].artifact
    path = root / "artifacts" / shard
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(bytes(body))
    report = store.check("one")
    assert report.verdict == "fail"
    assert [finding.ids for finding in report.findings if finding.kind == "artifact_corrupt"] == [(shard,)]
    assert_passes(store.repair(report))
    assert_serves(store, TEXTS)


def test_shards_of_another_size_than_the_manifest_says_are_not_searched(store: Store) -> None:
    found = manifest(store, "one@1")
    first, *others = found.index.shards
    wrong = replace(found, index=replace(found.index, shards=(replace(first, chunks=first.chunks + 1), *others)))
    with pytest.raises(CorruptArtifactError, match="their manifest says"):
        open_indexed(store.resources.artifacts, wrong, store.resources.vectors_of(store.pair("one")))


def test_a_missing_shard_stands_in_the_way_of_a_move(root: Path, store: Store) -> None:
    store.rollback(reason="to two")
    (root / "artifacts" / manifest(store, "one@1").index.shards[2].artifact).unlink()
    assert store.check("one", "quick").verdict == "fail"
    with pytest.raises(CorruptArtifactError):
        store.restore("one@1", reason="back")
    assert store.live().name == "two"


def test_a_bundle_carries_every_shard(root: Path, store: Store, tmp_path: Path) -> None:
    store.export_snapshot("one@1", tmp_path / "one.bundle")
    for shard in manifest(store, "one@1").index.shards:
        (root / "artifacts" / shard.artifact).unlink()
    assert store.import_snapshot(tmp_path / "one.bundle").ref == "one@1"
    assert_passes(store.check("one"))
    with vecrollback.connect(tmp_path / "elsewhere", create=True) as other:
        other.import_snapshot(tmp_path / "one.bundle")
        other.promote("one")
        assert_serves(other, TEXTS)
        assert manifest(other, other.pair("one").ref).index.spec == SHARDED


@pytest.fixture(scope="module")
def found(template: Path, tmp_path_factory: pytest.TempPathFactory) -> bundle_files.Members:
    path = tmp_path_factory.mktemp("bundle") / "one.bundle"
    with vecrollback.connect(template) as store:
        store.export_snapshot("one@1", path)
    return bundle_files.members(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index | {"shards": index["shards"][:2]},
        lambda index: index | {"shards": []},
        lambda index: index | {"shards": [index["shards"][0] | {"chunks": -1}, *index["shards"][1:]]},
        lambda index: index | {"shards": [index["shards"][0] | {"chunks": 1.0}, *index["shards"][1:]]},
        lambda index: index | {"shards": [index["shards"][0] | {"more": 1}, *index["shards"][1:]]},
        lambda index: index | {"shards": [index["shards"][0] | {"artifact": "../x"}, *index["shards"][1:]]},
        lambda index: index | {"shards": [index["shards"][1], index["shards"][0], index["shards"][1]]},
        lambda index: index | {"shards": 3},
        lambda index: index | {"shards": None},
        lambda index: index | {"spec": "shards:0(Flat)"},
        lambda index: index | {"spec": "Flat"},
    ],
)
def test_a_bundle_whose_shards_do_not_fit_together_is_refused(
    found: bundle_files.Members, store: Store, tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    index = json.loads(found["manifest.json"])["index"]
    path = tmp_path / "changed.bundle"
    path.write_bytes(bundle_files.with_manifest(found, index=change(index)))
    with pytest.raises(BundleError):
        store.import_snapshot(path, name="other")
    path.write_bytes(bundle_files.with_manifest(found, index=index))
    assert store.import_snapshot(path, name="other").ref == "other@1"


def test_prune_keeps_the_shards_that_are_named_and_takes_those_that_are_not(root: Path, store: Store) -> None:
    retired = store.reembed("hash:32?seed=9", name="three", index="shards:4(Flat)").wait()
    shards = {shard.artifact for shard in manifest(store, retired.ref).index.shards}
    (root / "artifacts" / ".building-gone").mkdir()
    os.utime(root / "artifacts" / ".building-gone", (1, 1))
    store.retention.retire(retired)
    plan = store.retention.plan(RetentionRules(0, cool_down=0))
    pruned = store.retention.apply(plan)
    gone = {Path(file.path).name for file in pruned.files}
    assert shards <= gone and ".building-gone" in gone
    assert_passes(store.check("one"))
    assert_serves(store, TEXTS)


def test_shards_are_objects_of_their_own_on_object_storage(
    postgres: PostgresServer, objects: ObjectServer, tmp_path: Path
) -> None:
    with vecrollback.connect(objects.uri(), catalog=postgres.url(), create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name, index in (("one", SHARDED), ("two", "shards:2(lance:IVF_FLAT)")):
            store.promote(store.reembed(SPECS[name], name=name, index=index).wait(), reason="first")
            assert_serves(store, TEXTS)
        store.rollback(reason="back to one")
        assert_serves(store, TEXTS)
        store.export_snapshot("one@1", tmp_path / "one.bundle")
        lost = manifest(store, "one@1").index.shards[0].artifact
        store.resources.artifacts.remove(lost)
        assert store.check("one", "quick").verdict == "fail"
        store.import_snapshot(tmp_path / "one.bundle")
        assert_passes(store.check("one", sample=EVERY_ROW))


def test_a_drill_between_a_sharded_and_an_unsharded_pair_passes(store: Store) -> None:
    drill = store.drill()
    assert drill.verdict == "pass", drill
    assert (drill.source, drill.target) == ("one@1", "two@1")


def test_an_index_below_the_floor_leaves_another_pair_s_equal_one_alone(root: Path, store: Store) -> None:
    """Equal bytes are stored once: refusing them for one pair must not take them from another."""
    first = store.reembed("hash:32?seed=7", name="a", index="shards:2(HNSW4,SQ4)", recall_floor=0.1).wait()
    with pytest.raises(RecallTooLowError):
        store.reembed("hash:32?seed=7", name="b", index="shards:2(HNSW4,SQ4)", recall_floor=0.9999).wait()
    assert_passes(store.check(first))
    assert not list((root / "artifacts").glob(".building-*"))


def test_the_commands_take_a_sharded_spec(root: Path) -> None:
    where = ("--store", root)
    asked = ("--name", "new", "--index", "shards:2(auto)")
    assert cli_json("plan", "hash:32?seed=5", *asked, "--no-measure", *where)["index"] == "shards:2(Flat)"
    assert cli_json("reembed", "hash:32?seed=5", *asked, *where)["state"] == "ready"
    assert cli_json("check", "new", *where)["verdict"] == "pass"
