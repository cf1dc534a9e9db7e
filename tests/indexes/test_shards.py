"""Indexes in several parts: who is in which, how they are built, and that they answer as one.

Covers indexes.sharded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecrollback.errors import CorruptArtifactError, FailedError, IndexSpecError
from vecrollback.indexes import ShardSpec, build_index, open_index, resolve_spec
from vecrollback.indexes.sharded import ShardBuilder, ShardedIndex, arranged, lay_out, open_shards, shard_of
from vecrollback.indexes.sharded.build_pool import BuildPool
from vecrollback.records.arrays import FloatArray, Mask
from vecrollback.testing.index_suite import corpus


class Kept:
    """Artefacts in a folder, as a ShardBuilder asks for them; `made` counts those it really built."""

    def __init__(self, root: Path) -> None:
        self.root, self.made = root, 0
        root.mkdir(exist_ok=True)

    def put(self, suffix: str, write: Any) -> str:
        self.made += 1
        path = self.root / f"new{suffix}"
        write(path)
        name = sha256(path.read_bytes()).hexdigest() + suffix
        path.replace(self.root / name)
        return name

    def sound(self, name: str) -> bool:
        return (self.root / name).exists()


def sliced(vectors: FloatArray, bounds: list[int], folder: Path, spec: str = "Flat") -> ShardedIndex:
    """The rows between the bounds as a shard each."""
    paths = []
    for number, (start, stop) in enumerate(zip([0, *bounds], [*bounds, len(vectors)], strict=True)):
        paths.append(folder / f"{number}-{start}-{stop}.index")
        build_index(spec, vectors[start:stop], "l2", paths[-1])
    return open_shards(spec, paths, "l2")


# -- the arrangement --------------------------------------------------------------------------------------------------


def test_a_document_s_shard_is_the_same_for_ever() -> None:
    assert [shard_of(id_, 1000) for id_ in ("a", "b", "c", "d", "", "ü")] == [343, 333, 555, 435, 876, 335]


@given(
    documents=st.lists(st.sampled_from([f"d{n}" for n in range(12)]), max_size=60),
    count=st.integers(1, 9),
    chance=st.randoms(use_true_random=False),
)
def test_shards_partition_the_rows_and_keep_documents_whole(documents: list[str], count: int, chance: Any) -> None:
    rows = np.array([i for i in range(len(documents)) if chance.random() < 0.8], dtype=np.int64)
    found = arranged(pa.chunked_array([documents], pa.string()), rows, count)
    assert sorted(found.rows.tolist()) == rows.tolist() and len(found.slices) == count
    for shard, part in enumerate(found.slices):
        inside = found.rows[part].tolist()
        assert inside == sorted(inside)
        assert count == 1 or all(shard_of(documents[row], count) == shard for row in inside)


def test_shards_are_of_like_size() -> None:
    ids = pa.chunked_array([[f"doc-{n:06d}" for n in range(20_000)]])
    sizes = np.diff(arranged(ids, np.arange(20_000), 8).bounds)
    assert sizes.min() > 2_300 and sizes.max() < 2_700


# -- specs ------------------------------------------------------------------------------------------------------------


def test_a_sharded_spec_says_how_many_and_of_what() -> None:
    assert ShardSpec.of("shards:4(IVF64,PQ8x4fs,Refine(SQ8))") == ShardSpec(4, "IVF64,PQ8x4fs,Refine(SQ8)")
    assert ShardSpec.of("HNSW32,Flat") == ShardSpec(1, "HNSW32,Flat")
    assert resolve_spec("shards:4(auto)", 60_000) == "shards:4(Flat)"
    assert resolve_spec("shards:4(auto)", 400_000) == "shards:4(HNSW32,SQ8)"
    assert resolve_spec("shards:1(auto)", 30_000) == "HNSW32,SQ8"


@pytest.mark.parametrize(
    "spec",
    ["shards:0(Flat)", "shards:4", "shards:4()", "shards:2000(Flat)", "shards:2(shards:2(Flat))", "shards:2(LSH)"],
)
def test_a_sharded_spec_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(IndexSpecError) as refused:
        resolve_spec(spec, 10)
    assert "shards:4(" in refused.value.hint


# -- searching --------------------------------------------------------------------------------------------------------


@st.composite
def worlds(draw: st.DrawFn) -> tuple[FloatArray, list[int], Mask | None, int]:
    """Small whole numbers, so that sums are exact and there are many ties."""
    count = draw(st.integers(0, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = random.integers(-3, 4, (count, 4)).astype(np.float32)
    bounds = sorted(draw(st.lists(st.integers(0, count), max_size=5)))
    allowed = random.random(count) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])) if draw(st.booleans()) else None
    if allowed is not None:
        allowed.flags.writeable = draw(st.booleans())
    return vectors, bounds, allowed, draw(st.integers(1, 50))


@pytest.mark.parametrize("spec", ["Flat", "exact"])
@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_sharded_search_equals_unsharded_search(
    tmp_path_factory: pytest.TempPathFactory, spec: str, world: tuple[FloatArray, list[int], Mask | None, int]
) -> None:
    vectors, bounds, allowed, k = world
    folder = tmp_path_factory.mktemp("world")
    build_index(spec, vectors, "l2", folder / "whole")
    whole, parts = open_index(spec, folder / "whole", "l2"), sliced(vectors, bounds, folder, spec)
    queries = np.array([[0, 0, 0, 0], [1, -2, 3, 0], [3, 3, -3, 1]], np.float32)
    expected, found = whole.search(queries, k, allowed), parts.search(queries, k, allowed)
    np.testing.assert_array_equal(found.scores, expected.scores)
    for row, query in enumerate(queries):
        places = found.positions[row][found.positions[row] >= 0]
        assert len(set(places.tolist())) == len(places) == np.isfinite(found.scores[row]).sum()
        assert allowed is None or allowed[places].all()
        np.testing.assert_array_equal(-np.square(vectors[places] - query).sum(1), found.scores[row][: len(places)])
        ties = list(zip((-found.scores[row]).tolist(), found.positions[row].tolist(), strict=True))[: len(places)]
        assert ties == sorted(ties)  # of equal scores the lowest position first
    held = parts.reconstruct(np.arange(len(vectors)))
    np.testing.assert_array_equal(held, vectors)


def test_a_shard_that_fails_fails_the_query(tmp_path: Path) -> None:
    class Failing:
        def search(self, chosen: Any, queries: Any, k: int, masks: Any) -> Any:
            raise CorruptArtifactError("shard 1 of 2 cannot be read")

    index = ShardedIndex(Failing(), [3, 3], 4, "l2")  # type: ignore[arg-type]
    with pytest.raises(CorruptArtifactError):
        index.search(np.zeros((1, 4), np.float32), 2)


def test_a_damaged_shard_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    sliced(corpus("l2"), [1000, 2000], tmp_path).close()
    paths = sorted(tmp_path.iterdir())
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    with pytest.raises(CorruptArtifactError, match=paths[1].name):
        open_shards("Flat", paths, "l2")


# -- building ---------------------------------------------------------------------------------------------------------


def laid_out(folder: Path, vectors: FloatArray, shards: int) -> Any:
    ids = pa.chunked_array([[f"d{n}" for n in range(len(vectors))]])
    arrangement = arranged(ids, np.arange(len(vectors)), shards)
    blocks = [(first, vectors[first : first + 700]) for first in range(0, len(vectors), 700)]
    return arrangement, lay_out(folder, blocks, arrangement, total=len(vectors), dimension=vectors.shape[1])


def test_the_laid_out_vectors_are_those_of_the_arranged_rows(tmp_path: Path) -> None:
    arrangement, laid = laid_out(tmp_path / "work", corpus("l2"), 5)
    np.testing.assert_array_equal(laid.vectors, corpus("l2")[arrangement.rows])
    assert [sha256(laid.vectors[part].tobytes()).hexdigest() for part in laid.slices] == list(laid.digests)


@pytest.mark.parametrize("spec", ["Flat", "IVF64,SQ8"])
def test_a_build_that_was_cut_off_goes_on_with_the_shards_that_are_missing(tmp_path: Path, spec: str) -> None:
    kept = Kept(tmp_path / "kept")
    whole = Kept(tmp_path / "whole")
    expected = ShardBuilder(laid_out(tmp_path / "other", corpus("l2"), 4)[1], put=whole.put, sound=whole.sound)
    names = expected.build(spec, "l2", ".index")

    def dying(suffix: str, write: Any) -> str:
        if kept.made == 2:
            raise KeyboardInterrupt
        return kept.put(suffix, write)

    with pytest.raises(KeyboardInterrupt):
        ShardBuilder(laid_out(tmp_path / "work", corpus("l2"), 4)[1], put=dying, sound=kept.sound).build(
            spec, "l2", ".index"
        )
    again = ShardBuilder(laid_out(tmp_path / "work", corpus("l2"), 4)[1], put=kept.put, sound=kept.sound)
    assert again.build(spec, "l2", ".index") == names
    assert kept.made == 4
    (kept.root / names[0]).unlink()
    assert again.build(spec, "l2", ".index") == names and kept.made == 5


def test_other_vectors_are_not_taken_for_those_that_were_built(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    first = ShardBuilder(laid_out(tmp_path / "work", corpus("l2"), 3)[1], put=kept.put, sound=kept.sound)
    first.build("Flat", "l2", ".index")
    changed = corpus("l2").copy()
    changed[17] += 1
    second = ShardBuilder(laid_out(tmp_path / "work", changed, 3)[1], put=kept.put, sound=kept.sound)
    second.build("Flat", "l2", ".index")
    assert kept.made == 4


def test_shards_learn_once_from_all_vectors(tmp_path: Path) -> None:
    """Also one that is too small to learn anything itself."""
    kept = Kept(tmp_path / "kept")
    arrangement, laid = laid_out(tmp_path / "work", corpus("l2")[:600], 40)
    names = ShardBuilder(laid, put=kept.put, sound=kept.sound).build("IVF64,SQ8", "l2", ".index")
    index = open_shards("IVF64,SQ8", [kept.root / name for name in names], "l2")
    found = index.search(corpus("l2")[arrangement.rows[:20]], 1)
    assert np.mean(found.positions[:, 0] == np.arange(20)) > 0.9


@pytest.fixture
def processes_for_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecrollback.indexes.sharded.build._ALONE_ROWS", 0)


@pytest.mark.usefixtures("processes_for_few_rows")
@pytest.mark.usefixtures("plain_processes")
def test_processes_build_the_same_shards(tmp_path: Path) -> None:
    kept, alone = Kept(tmp_path / "kept"), Kept(tmp_path / "alone")
    laid = laid_out(tmp_path / "work", corpus("l2"), 3)[1]
    names = ShardBuilder(laid, put=kept.put, sound=kept.sound).build("IVF64,SQ8", "l2", ".index")
    for name, part in zip(names, laid.slices, strict=True):
        path = tmp_path / name
        trained = next((tmp_path / "work").glob("trained-*"))
        build_index("IVF64,SQ8", laid.vectors[part], "l2", path, trained=trained)
        assert path.read_bytes() == (kept.root / name).read_bytes()
    assert alone.made == 0


@pytest.mark.usefixtures("processes_for_few_rows")
def test_what_a_builder_refuses_is_raised_as_it_was(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    laid = laid_out(tmp_path / "work", corpus("l2"), 2)[1]
    with pytest.raises(IndexSpecError, match="IVF_PQ"):
        ShardBuilder(laid, put=kept.put, sound=kept.sound).build("lance:IVF_PQ?num_sub_vectors=48", "l2", ".lance")


@pytest.mark.usefixtures("processes_for_few_rows")
def test_a_builder_that_is_killed_is_started_again_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []
    start, deaths = BuildPool._start, 1

    def killed(crew: BuildPool, *args: Any) -> Any:
        builder = start(crew, *args)
        if len(started) < deaths:
            os.kill(builder.process.pid, signal.SIGKILL)
        started.append(builder.process)
        return builder

    monkeypatch.setattr(BuildPool, "_start", killed)
    kept = Kept(tmp_path / "kept")
    laid = laid_out(tmp_path / "work", corpus("l2"), 2)[1]
    ShardBuilder(laid, put=kept.put, sound=kept.sound).build("Flat", "l2", ".index")
    assert len(started) == 3 and kept.made == 2
    started.clear()
    deaths = 99
    with pytest.raises(FailedError, match="signal 9") as failed:
        ShardBuilder(laid, put=kept.put, sound=kept.sound).build("SQ8", "l2", ".index")
    assert "VECROLLBACK_BUILDERS" in failed.value.hint
    assert all(process.poll() is not None for process in started)


def test_a_builder_ends_with_its_parent(tmp_path: Path) -> None:
    order = {"spec": "HNSW32,Flat", "metric": "l2", "start": 0, "stop": 20_000, "trained": None}
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).random((20_000, 256), np.float32))
    order |= {"vectors": str(tmp_path / "vectors.npy"), "made": str(tmp_path / "made")}
    (tmp_path / "order.json").write_text(json.dumps(order))
    command = [sys.executable, "-m", "vecrollback.indexes.sharded.build_process", str(tmp_path / "order.json")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=30) == 2
