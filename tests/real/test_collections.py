"""Real collections and a real stream of changes, through the store."""

from __future__ import annotations

import csv
import gzip
import json
import math
import signal
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.operations import start
from tests.support.shared_data import shared
from vecrollback.corpus.documents import content_hash as hash_of
from vecrollback.corpus.formats import read_documents
from vecrollback.embedders import open_embedder
from vecrollback.pairs.vectors import newest


def _ndcg(ranked: Sequence[str], grades: dict[str, int], k: int = 10) -> float:
    gain = sum(grades.get(id_, 0) / math.log2(rank + 2) for rank, id_ in enumerate(ranked[:k]))
    ideal = sum(g / math.log2(rank + 2) for rank, g in enumerate(sorted(grades.values(), reverse=True)[:k]))
    return gain / ideal if ideal else 0.0


def _judged(folder: Path) -> tuple[list[str], list[dict[str, int]]]:
    grades: dict[str, dict[str, int]] = {}
    with (folder / "qrels.tsv").open() as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            grades.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    kept = [q for q in queries if q["_id"] in grades]
    return [q["text"] for q in kept], [grades[q["_id"]] for q in kept]


def _mean_ndcg(rankings: Iterable[Sequence[str]], judged: Sequence[dict[str, int]]) -> float:
    return float(np.mean([_ndcg(ids, grades) for ids, grades in zip(rankings, judged, strict=True)]))


@pytest.mark.parametrize("collection", ["scifact-mini", pytest.param("scifact", marks=pytest.mark.slow)])
def test_quality_through_the_store_equals_exact_search_with_the_same_model(
    collection: str, minilm: str, tmp_path: Path
) -> None:
    folder = shared(f"{collection}/corpus.jsonl").parent
    queries, judged = _judged(folder)
    corpus, model = folder / "corpus.jsonl", minilm + "?max_length=128"
    if collection == "scifact-mini":  # fewer and shorter texts in less time; the comparison is the same
        corpus, model = _part(corpus, set().union(*judged), tmp_path / "corpus.jsonl"), minilm + "?max_length=64"
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.ingest(corpus)
        store.reembed(model, name="minilm", index="Flat").wait()
        store.promote("minilm", reason="first")
        through = _mean_ndcg([[h.id for h in r.hits] for r in store.search(queries, k=10)], judged)

    documents = [row.document for row in read_documents(corpus)]
    embedder = open_embedder(model)
    vectors = embedder.embed_documents([d.text for d in documents if d is not None])
    ranked = np.argsort(-(embedder.embed_queries(queries) @ vectors.T), axis=1, kind="stable")[:, :10]
    exact = _mean_ndcg([[documents[i].id for i in row] for row in ranked], judged)  # type: ignore[union-attr]

    assert exact > 0.6, "the model itself must work for the comparison to mean anything"
    assert abs(through - exact) <= 0.002


def _part(corpus: Path, ids: set[str], part: Path) -> Path:
    """A file of these documents and of every eighth other one."""
    lines = corpus.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for number, line in enumerate(lines) if number % 8 == 0 or _id_of(line) in ids]
    part.write_text("".join(kept), encoding="utf-8")
    return part


def _content(store: vecrollback.Store, name: str) -> dict[str, tuple[bytes, bytes]]:
    """Document id -> (content hash, vector bytes) of the rows of a pair that count."""
    pair = store.pair(name)
    table = store.resources.vectors_of(pair)
    keys = table.keys(pair.vectors_version)
    rows = newest(keys, store.resources.catalog.ledger.tombstones())
    ids, hashes = keys["doc_id"].to_pylist(), keys["content_hash"].to_pylist()
    vectors = table.vectors(pair.vectors_version)
    return {ids[i]: (hashes[i], vectors[i].tobytes()) for i in rows}


@pytest.mark.parametrize("share", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_a_real_stream_after_a_promote_then_rollback_and_catch_up_equals_never_having_switched(
    share: int, tmp_path: Path
) -> None:
    """Of one document in twenty; the slow run takes the whole archive."""
    corpus = _sample(shared("debian/corpus.jsonl.gz"), share, tmp_path)
    changes = _sample(shared("debian/changes.bookworm-trixie.jsonl.gz"), share, tmp_path)
    with vecrollback.connect(tmp_path / "switched", create=True) as store:
        store.ingest(corpus)
        store.reembed("hash:64?seed=1", name="v1").wait()
        store.promote("v1", reason="first")
        store.reembed("hash:64?seed=2", name="v2").wait()
        store.promote("v2", reason="upgrade")
        done = store.ingest(changes, changes=True)
        assert done.changed and done.deleted
        assert share > 1 or (done.changed, done.deleted) == (13_996 + 2_974, 8_612)
        switched = store.rollback(reason="worse")
        assert switched.lag == done.changed + done.deleted
        assert switched.caught_up is not None and switched.caught_up.lag == 0
        assert switched.report is not None and switched.report.verdict == "pass", switched.report.findings
        one = _content(store, "v1")

    with vecrollback.connect(tmp_path / "stayed", create=True) as store:
        store.ingest(corpus)
        store.reembed("hash:64?seed=1", name="v1").wait()
        store.ingest(changes, changes=True)
        store.catch_up("v1")
        other = _content(store, "v1")

    assert one.keys() == other.keys()
    assert one == other


@pytest.mark.parametrize("share", [40, pytest.param(1, marks=pytest.mark.slow)])
def test_documents_of_a_real_stream_are_what_they_were(share: int, tmp_path: Path) -> None:
    corpus = _sample(shared("debian/corpus.jsonl.gz"), share, tmp_path)
    changes = _sample(shared("debian/changes.bookworm-trixie.jsonl.gz"), share, tmp_path)
    with gzip.open(changes, "rt", encoding="utf-8") as stream:
        lines = stream.readlines()
    halves = []
    for number, part in enumerate((lines[: len(lines) // 2], lines[len(lines) // 2 :])):
        halves.append(tmp_path / f"half{number}.jsonl")
        halves[number].write_text("".join(part), encoding="utf-8")
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.ingest(corpus)
        store.promote(store.reembed("hash:64", name="v1").wait(), reason="first")
        first = _texts(store), store.status()["corpus"]["head"]
        store.ingest(halves[0], changes=True)  # nobody embeds these before the next ones come
        second = _texts(store), store.status()["corpus"]["head"]
        store.ingest(halves[1], changes=True)
        store.catch_up("v1")
        last = _texts(store)
        pair = store.pair("v1")
        hashes = store.resources.vectors_of(pair).keys(pair.vectors_version)["content_hash"]
        for texts, head in (second, first):
            known = set(hashes.to_pylist())
            done = store.time_travel.rollback(head, reason="the stream was faulty")
            expected = {id_: text for id_, text in texts.items() if id_ not in done.plan.erased}
            assert done.plan.erased and not set(done.plan.erased) & last.keys()
            assert _texts(store) == expected
            wanted = {hash_of(expected[id_]) for id_ in (*done.plan.changed, *done.plan.returning)}
            assert done.caught_up[0].embedded == done.plan.embed["v1"] == len(wanted - known)
            pair = store.pair("v1")
            hashes = store.resources.vectors_of(pair).keys(pair.vectors_version)["content_hash"]
            assert _content(store, "v1").keys() == expected.keys()
        assert store.check("v1").verdict == "pass"


_GO_BACK = """
import sys, vecrollback
with vecrollback.connect(sys.argv[1]) as store:
    store.time_travel.rollback(int(sys.argv[2]), reason="the stream was faulty")
"""
_STEPS = (
    "corpus.earlier_kept",
    "table.data_synced",
    "table.committed",
    "corpus.merged",
    "corpus.acknowledged",
    "vectors.appended",
    "pair.advanced",
)


@pytest.mark.slow
@pytest.mark.parametrize("step", _STEPS)
def test_going_back_in_a_real_stream_and_killed_at_a_step_is_done_by_going_back_again(
    step: str, tmp_path: Path
) -> None:
    corpus = _sample(shared("debian/corpus.jsonl.gz"), 40, tmp_path)
    changes = _sample(shared("debian/changes.bookworm-trixie.jsonl.gz"), 40, tmp_path)
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.ingest(corpus)
        first, head = _texts(store), store.status()["corpus"]["head"]
        # Built from the head: of the texts that changed there is no vector from before, and going back embeds them.
        store.ingest(changes, changes=True)
        store.promote(store.reembed("hash:64", name="v1").wait(), reason="first")
    killed = start(str(tmp_path / "store"), str(head), code=_GO_BACK, VECROLLBACK_FAULT=step)
    killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL
    with vecrollback.connect(tmp_path / "store") as store:
        store.time_travel.rollback(head, reason="the stream was faulty")
        expected = {id_: text for id_, text in first.items() if id_ not in _deleted(changes)}
        assert _texts(store) == expected
        store.catch_up("v1")
        assert _content(store, "v1").keys() == expected.keys()
        assert store.check("v1").verdict == "pass"


def _deleted(changes: Path) -> set[str]:
    """What the stream deletes: that never returns."""
    with gzip.open(changes, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return {str(row["_id"]) for row in rows if row["op"] == "delete"}


def _texts(store: vecrollback.Store) -> dict[str, str]:
    return {one.id: one.text for one in store.documents()}


def _sample(path: Path, share: int, folder: Path) -> Path:
    """A file of one line in so many, of the same documents whichever file they stand in."""
    sample = folder / path.name
    with gzip.open(path, "rt", encoding="utf-8") as lines, gzip.open(sample, "wt", encoding="utf-8") as kept:
        kept.writelines(line for line in lines if zlib.crc32(_id_of(line).encode()) % share == 0)
    return sample


def _id_of(line: str) -> str:
    row = json.loads(line)
    return str(row["_id"])


@pytest.mark.slow
def test_the_real_stream_with_a_real_model_on_a_part_of_the_archive(minilm: str, tmp_path: Path) -> None:
    corpus = _sample(shared("debian/corpus.jsonl.gz"), 40, tmp_path)
    changes = _sample(shared("debian/changes.bookworm-trixie.jsonl.gz"), 40, tmp_path)
    with vecrollback.connect(tmp_path / "switched", create=True) as store:
        store.ingest(corpus)
        store.reembed(minilm, name="v1").wait()
        store.promote("v1", reason="first")
        store.reembed("hash:384", name="v2").wait()
        store.promote("v2", reason="upgrade")
        store.ingest(changes, changes=True)
        switched = store.rollback(reason="worse")
        assert switched.report is not None and switched.report.verdict == "pass"
        one = _content(store, "v1")
    with vecrollback.connect(tmp_path / "stayed", create=True) as store:
        store.ingest(corpus)
        store.reembed(minilm, name="v1").wait()
        store.ingest(changes, changes=True)
        store.catch_up("v1")
        other = _content(store, "v1")
    assert one.keys() == other.keys()
    for id_, (content_hash, vector) in one.items():
        assert other[id_][0] == content_hash
        assert np.frombuffer(vector, np.float32) @ np.frombuffer(other[id_][1], np.float32) > 0.999999
