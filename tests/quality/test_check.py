"""A tampered byte anywhere is found, is named, and is mended where the log still knows better.

Covers quality.check, quality.stages.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, words
from tests.support.oracle import ONE, TWO, assert_passes, assert_serves, embedder
from vecrollback import Document, Report, Store
from vecrollback.catalog import chained_hash
from vecrollback.corpus.documents import content_hash
from vecrollback.errors import GateRefusedError, StoppedError
from vecrollback.indexes import build_index
from vecrollback.pairs.manifest import load_manifest
from vecrollback.quality.check import LAWS
from vecrollback.records import Progress

DELETED = ("d30", "d31")
LEFT = [f"d{n}" for n in range(30)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 documents, some of them changed, two deleted; `one` is live, `two` stands by; nothing lags."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", words(n), {"n": n}) for n in range(32)])
        for name, spec in (("two", f"{TWO}&chunk=tokens:5:1"), ("one", ONE)):
            store.reembed(spec, name=name, index="Flat").wait()
            store.promote(name)
        store.upsert([Document(id_, words(50 + n), {"n": n}) for n, id_ in enumerate(LEFT[:4])])
        store.delete(DELETED)
        for pair in store.pairs():
            store.catch_up(pair)
            store.snapshot(pair, rebuild=True)
            assert_passes(store.check(pair))
    return root


def checked(root: Path, pair: str = "one", **options: Any) -> Report:
    """The report of a process that never saw the store before."""
    with vecrollback.connect(root) as fresh:
        return fresh.check(pair, **options)


def found(report: Report) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for finding in report.findings:
        assert finding.law == LAWS[finding.kind]
        assert finding.count >= len(finding.ids)
        kinds.setdefault(finding.kind, set()).update(finding.ids)
    return kinds


def assert_mended(root: Path, report: Report) -> None:
    """Repair, then look again with new eyes: nothing is wrong, and every answer is exact."""
    with vecrollback.connect(root) as fresh:
        assert_passes(fresh.repair(report))
    assert_passes(checked(root, report.pair, sample=EVERY_ROW))
    with vecrollback.connect(root) as fresh:
        fresh.catch_up("one")
        assert_serves(fresh, {id_: document.text for id_, document in fresh.get([*LEFT, *DELETED]).items()})


# -- bytes ------------------------------------------------------------------------------------------------------------


def _artifacts(store: Store, pick: Callable[[Any], str]) -> list[Path]:
    pair = store.pair("one")
    manifest = load_manifest(store.resources.artifacts, store.resources.catalog.pairs.find_snapshot(pair.ref).manifest)
    return [store.resources.artifacts.path(pick(manifest))]


def _manifest(store: Store) -> list[Path]:
    return [store.resources.artifacts.path(store.resources.catalog.pairs.find_snapshot(store.pair("one").ref).manifest)]


def _table(table: Any, version: int, folder: str) -> list[Path]:
    return [
        Path(table.file_store.uri) / name for name in sorted(table.files(table.at(version))) if name.startswith(folder)
    ]


def _vectors(store: Store, folder: str) -> list[Path]:
    pair = store.pair("one")
    return _table(store.resources.vectors_of(pair).table, pair.vectors_version, folder)


def _documents(store: Store, folder: str) -> list[Path]:
    return _table(store.resources.corpus.table, store.resources.corpus.state().version, folder)


FILES: dict[str, tuple[Callable[[Store], list[Path]], str]] = {
    "index": (lambda s: _artifacts(s, lambda m: m.index.artifact), "artifact_corrupt"),
    "id map": (lambda s: _artifacts(s, lambda m: m.index.ids), "artifact_corrupt"),
    "probes": (lambda s: _artifacts(s, lambda m: m.probes), "artifact_corrupt"),
    "manifest": (_manifest, "manifest_corrupt"),
    "vectors data": (lambda s: _vectors(s, "data/"), "file_corrupt"),
    "vectors manifest": (lambda s: _vectors(s, "_versions/"), "file_corrupt"),
    "documents data": (lambda s: _documents(s, "data/"), "file_corrupt"),
    "documents manifest": (lambda s: _documents(s, "_versions/"), "file_corrupt"),
    "documents deletions": (lambda s: _documents(s, "_deletions/"), "file_corrupt"),
}
MENDED_BY_REPAIR = ("index", "id map", "manifest", "probes")


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 0x40]))


def assert_flips_found(root: Path, kind: str, places: Callable[[int], Sequence[int]]) -> None:
    of, wanted = FILES[kind]
    with vecrollback.connect(root) as fresh:
        paths = of(fresh)
    assert paths
    for path in paths:
        for place in places(path.stat().st_size):
            flip(path, place)
            report = checked(root)
            assert report.verdict == "fail", (path, place)
            kinds = found(report)
            assert wanted in kinds, (path, place, kinds)
            if wanted != "manifest_corrupt":
                named = kinds[wanted]
                assert any(path.as_posix().endswith(name) or f"/{name}.lance/" in str(path) for name in named), named
            flip(path, place)
    assert_passes(checked(root))


@pytest.mark.parametrize("kind", FILES)
def test_flipped_byte_is_found_and_the_file_named(root: Path, kind: str) -> None:
    """The last bytes of most formats say where the others are: readers fail there in the oddest ways."""
    assert_flips_found(root, kind, lambda size: sorted({0, size // 3, size // 2, *range(size - 20, size, 3), size - 1}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_every_single_flipped_byte_is_found(root: Path, kind: str) -> None:
    assert_flips_found(root, kind, range)


@pytest.mark.parametrize("kind", FILES)
def test_missing_file_is_found_by_the_quick_check(root: Path, kind: str) -> None:
    of, wanted = FILES[kind]
    with vecrollback.connect(root) as fresh:
        of(fresh)[0].unlink()
    report = checked(root, level="quick")
    assert report.verdict == "fail"
    assert wanted in found(report)


@pytest.mark.parametrize("kind", FILES)
def test_damage_to_one_pair_is_no_damage_to_another(root: Path, kind: str) -> None:
    with vecrollback.connect(root) as fresh:
        path = FILES[kind][0](fresh)[0]
    flip(path, path.stat().st_size // 2)
    assert checked(root, "one").verdict == "fail"
    assert checked(root, "two").verdict == ("fail" if kind.startswith("documents") else "pass")


@pytest.mark.parametrize("kind", MENDED_BY_REPAIR)
@pytest.mark.parametrize("missing", [False, True], ids=["flipped", "missing"])
def test_damaged_artefact_is_mended(root: Path, kind: str, missing: bool) -> None:
    with vecrollback.connect(root) as fresh:
        path = FILES[kind][0](fresh)[0]
    path.unlink() if missing else flip(path, path.stat().st_size // 2)
    assert_mended(root, checked(root))


@pytest.mark.parametrize("place", [0.5, *(pytest.param(place, marks=pytest.mark.slow) for place in (0.2, 0.9))])
@pytest.mark.parametrize("kind", ["vectors data", "vectors manifest"])
def test_damaged_vectors_are_never_taken_for_mended(root: Path, kind: str, place: float) -> None:
    """Their table stays damaged; what the store says after a repair is still the truth, and a new pair is the cure."""
    with vecrollback.connect(root) as fresh:
        path = FILES[kind][0](fresh)[0]
    flip(path, int(path.stat().st_size * place))
    with vecrollback.connect(root) as fresh:
        report = fresh.check("one")
        assert report.verdict == "fail"
        try:
            after = fresh.repair(report)
        except vecrollback.VecrollbackError:
            after = fresh.check("one")
        assert after.verdict == "fail"
    with vecrollback.connect(root) as fresh:
        fresh.reembed(ONE, name="anew", index="Flat").wait()
        assert_passes(fresh.check("anew", sample=EVERY_ROW))
        with pytest.raises(GateRefusedError, match="way back"):
            fresh.promote("anew")
        fresh.promote("anew", reason="the live pair is damaged", override=True)
        assert_serves(fresh, {id_: document.text for id_, document in fresh.get(LEFT).items()})


# -- catalog ----------------------------------------------------------------------------------------------------------


def alter(root: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(root / "catalog.db")) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0


def test_alias_moved_behind_the_histories_back_is_found(root: Path) -> None:
    alter(root, "UPDATE alias SET pair = 'two' WHERE name = 'live'")
    assert found(checked(root))["alias_differs"] == {"live"}


def test_alias_with_another_epoch_is_found(root: Path) -> None:
    alter(root, "UPDATE alias SET epoch = epoch + 1 WHERE name = 'live'")
    assert found(checked(root))["alias_differs"] == {"live"}


def test_removed_alias_is_found(root: Path) -> None:
    alter(root, "DELETE FROM alias WHERE name = 'live'")
    assert found(checked(root))["alias_differs"] == {"live"}


def test_changed_record_of_who_served_when_is_found(root: Path) -> None:
    alter(root, "UPDATE tenure SET first_epoch = first_epoch - 1 WHERE alias = 'live' AND last_epoch > 1")
    assert found(checked(root))["alias_differs"] == {"live"}


def test_record_of_who_served_when_that_is_gone_is_made_anew_and_no_finding(root: Path) -> None:
    alter(root, "DELETE FROM tenure")
    assert "alias_differs" not in found(checked(root))


HISTORY = ("number", "alias", "epoch", "kind", "source", "target", "reason", "actor", "at", "previous_hash", "hash")


@pytest.mark.parametrize("column", HISTORY)
@pytest.mark.parametrize("entry", [2, *(pytest.param(entry, marks=pytest.mark.slow) for entry in (1, 4))])
def test_changed_history_is_found(root: Path, column: str, entry: int) -> None:
    value = {"number": 77, "epoch": 99}.get(column, "another")
    alter(root, f"UPDATE history SET {column} = ? WHERE number = ?", value, entry)
    assert "history_broken" in found(checked(root))


@pytest.mark.parametrize("entry", [1, 2, 3, 4])
def test_removed_history_is_found(root: Path, entry: int) -> None:
    alter(root, "DELETE FROM history WHERE number = ?", entry)
    assert set(found(checked(root))) & {"history_broken", "alias_differs"}


def test_rewritten_last_entry_with_a_right_hash_is_found(root: Path, store: Store) -> None:
    """The chain has no key; the alias is what gives the forger away."""
    move = store.history(limit=1)[0]
    fields = {name: getattr(move, name) for name in move.__slots__} | {"target": "two@1"}
    alter(root, "UPDATE history SET target = 'two@1', hash = ? WHERE number = ?", chained_hash(fields), move.number)
    assert "alias_differs" in found(checked(root))


PAIR = {
    "fingerprint": "f" * 32,
    "dimension": 33,
    "metric": "l2",
    "probes": "0" * 64 + ".npy",
    "probe_floor": -1.0,
    "contract": "{}",
    "embedder": TWO,
    "snapshot": 7,
    "vectors_version": 1,
}


@pytest.mark.parametrize("column", PAIR)
def test_changed_pair_is_found(root: Path, column: str) -> None:
    alter(root, f"UPDATE pair SET {column} = ? WHERE name = 'one'", PAIR[column])
    report = checked(root)
    assert report.verdict == "fail", found(report)
    assert_passes(checked(root, "two"))


SNAPSHOT = {"manifest": "0" * 64 + ".json", "watermark": 1, "vectors_version": 1, "recall": 0.5, "chunks": 1}


@pytest.mark.parametrize("column", SNAPSHOT)
def test_changed_snapshot_is_found(root: Path, column: str) -> None:
    alter(root, f"UPDATE snapshot SET {column} = ? WHERE pair = 'one'", SNAPSHOT[column])
    report = checked(root)
    assert report.verdict == "fail", found(report)
    assert set(found(report)) & {"catalog_differs", "manifest_corrupt"}


def test_removed_tombstone_is_found_and_put_back(root: Path) -> None:
    alter(root, "DELETE FROM tombstone WHERE id = 'd30'")
    report = checked(root)
    assert found(report)["tombstone_missing"] == {"d30"}
    assert found(report)["resurrected_vector"] == {"d30"}
    assert_mended(root, report)
    with vecrollback.connect(root) as fresh:
        assert set(DELETED) <= set(fresh.resources.catalog.ledger.tombstones())


def test_lowered_tombstone_is_found_and_raised_again(root: Path) -> None:
    alter(root, "UPDATE tombstone SET seq = 1 WHERE id = 'd30'")
    report = checked(root)
    assert found(report)["tombstone_missing"] == {"d30"}
    assert_mended(root, report)


def test_forged_tombstone_is_found(root: Path) -> None:
    alter(root, "INSERT INTO tombstone VALUES ('d5', 1000000, 'now')")
    assert "d5" in found(checked(root))["missing_vector"]


@pytest.mark.parametrize(
    "change", ["head = head + 5", "head = head - 1", "documents = documents + 1", "version = version - 1"]
)
def test_changed_corpus_head_is_found(root: Path, change: str) -> None:
    alter(root, f"UPDATE corpus SET {change}")
    assert "head_differs" in found(checked(root))


@pytest.mark.parametrize("owner", ["documents", "vectors-one"])
def test_changed_file_digest_is_found(root: Path, owner: str) -> None:
    alter(root, "UPDATE file SET sha256 = ? WHERE owner = ?", "0" * 64, owner)
    assert "file_corrupt" in found(checked(root))


@pytest.mark.parametrize("owner", ["documents", "vectors-one"])
def test_removed_file_digest_is_unknown_at_least(root: Path, owner: str) -> None:
    alter(root, "DELETE FROM file WHERE owner = ?", owner)
    assert checked(root).verdict in ("unknown", "fail")
    assert "not_examined" in found(checked(root))


# -- vectors ----------------------------------------------------------------------------------------------------------


def plant(
    store: Store,
    rows: dict[str, np.ndarray[Any, Any]],
    *,
    fingerprint: str | None = None,
    rebuild: bool = True,
    **columns: Any,
) -> None:
    """Let a faulty writer put these vectors into pair `one`, in files whose digests are right."""
    pair = store.pair("one")
    vectors = store.resources.vectors_of(pair)
    every = vectors.table.at(pair.vectors_version).to_table()
    known = every["doc_id"].to_pylist()
    last = {id_: n for n, id_ in enumerate(known)}
    table = every.take([last.get(id_, 0) for id_ in rows])
    flat = pa.array(np.concatenate([np.asarray(v, np.float32) for v in rows.values()]))
    values = {
        "doc_id": pa.array(list(rows), pa.string()),
        "batch": pa.array([pair.vectors_version + 1] * len(rows), pa.int64()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, pair.dimension),
        "fingerprint": pa.array([fingerprint or pair.fingerprint] * len(rows), pa.string()),
    } | {name: pa.array(value, table.schema.field(name).type) for name, value in columns.items()}
    for name, value in values.items():
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), value)
    commit = vectors.append(table, known=pair.vectors_version)
    store.resources.catalog.pairs.advance(
        "one",
        watermark=pair.watermark,
        vectors_version=commit.version,
        expected=pair.vectors_version,
        files=commit.files,
    )
    if rebuild:
        store.snapshot("one", rebuild=True)


def row_of(store: Store, id_: str, column: str) -> Any:
    pair = store.pair("one")
    rows = store.resources.vectors_of(pair).keys(pair.vectors_version)
    return rows.filter(pa.compute.equal(rows["doc_id"], id_))[column][-1].as_py()


def vectors_of(spec: str, store: Store, ids: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
    texts = store.get(list(ids))
    return dict(zip(ids, embedder(spec).embed_documents([texts[id_].text for id_ in ids]), strict=True))


@pytest.mark.parametrize("rebuild", [False, True], ids=["in the delta", "in the index"])
def test_swapped_vectors_are_found_and_mended(root: Path, store: Store, rebuild: bool) -> None:
    own = vectors_of(ONE, store, ["d5", "d6"])
    plant(store, {"d5": own["d6"], "d6": own["d5"]}, rebuild=rebuild)
    report = checked(root, sample=EVERY_ROW)
    assert found(report) == {"foreign_vector": {"d5", "d6"}}
    assert report.certificate
    assert report.certificate.foreign == 2
    assert_mended(root, report)


def test_vectors_of_another_model_with_our_fingerprint_are_found(root: Path, store: Store) -> None:
    plant(store, vectors_of(TWO, store, LEFT[5:12]))
    report = checked(root, sample=EVERY_ROW)
    assert found(report) == {"foreign_vector": set(LEFT[5:12])}
    assert_mended(root, report)


def test_vectors_with_another_fingerprint_are_found_without_any_sample(root: Path, store: Store) -> None:
    plant(store, vectors_of(TWO, store, LEFT[5:12]), fingerprint=embedder(TWO).fingerprint)
    report = checked(root, sample=0)
    assert found(report) == {"foreign_fingerprint": set(LEFT[5:12])}
    assert_mended(root, report)


@pytest.mark.parametrize(
    "vector",
    [np.full(32, np.nan), np.full(32, np.inf), np.zeros(32), np.full(32, 3.0)],
    ids=["nan", "inf", "zero", "long"],
)
def test_invalid_vector_is_found_and_mended(root: Path, store: Store, vector: np.ndarray[Any, Any]) -> None:
    plant(store, {"d9": vector}, rebuild=False)
    report = checked(root, sample=0)
    assert found(report) == {"invalid_vector": {"d9"}}
    assert_mended(root, report)


def test_vector_of_a_document_that_never_was_is_found_and_hidden(root: Path, store: Store) -> None:
    plant(store, {"ghost": vectors_of(ONE, store, ["d5"])["d5"]})
    report = checked(root)
    assert found(report)["orphaned_vector"] == {"ghost"}
    assert "ghost" not in {hit.id for hit in store.search("note on boats", k=100).hits}
    assert_mended(root, report)


def test_vector_of_an_old_text_under_a_new_seq_is_found(root: Path, store: Store) -> None:
    plant(store, {"d9": vectors_of(ONE, store, ["d8"])["d8"]}, content_hash=[b"x" * 16])
    report = checked(root, sample=0)
    assert found(report)["stale_vector"] == {"d9"}
    assert_mended(root, report)


def test_chunk_with_two_vectors_is_found_and_mended(root: Path, store: Store) -> None:
    own = vectors_of(ONE, store, ["d9"])["d9"]
    twice = row_of(store, "d9", "seq"), row_of(store, "d9", "content_hash")
    plant(store, {"d9": own, "d8": own}, doc_id=["d9", "d9"], seq=[twice[0]] * 2, content_hash=[twice[1]] * 2)
    report = checked(root, sample=0)
    assert found(report) == {"duplicate_vector": {"d9"}}
    assert_mended(root, report)


def test_changes_that_were_skipped_are_found_and_mended(root: Path, store: Store) -> None:
    store.upsert([Document("new", words(60)), Document("d9", words(61), {"n": 9})])
    alter(root, "UPDATE pair SET watermark = (SELECT head FROM corpus) WHERE name = 'one'")
    report = checked(root)
    assert found(report) == {"missing_vector": {"new"}, "stale_vector": {"d9"}}
    with vecrollback.connect(root) as fresh:
        assert_passes(fresh.repair(report))
        assert_serves(fresh, {id_: document.text for id_, document in fresh.get([*LEFT, "new"]).items()})


def test_index_of_other_vectors_is_found_and_rebuilt(root: Path, store: Store) -> None:
    snapshot = store.resources.catalog.pairs.find_snapshot(store.pair("one").ref)
    manifest = json.loads(store.resources.artifacts.read_bytes(snapshot.manifest))
    pair = store.pair("one")
    ids = pa.ipc.open_file(store.resources.artifacts.path(manifest["index"]["ids"])).read_all()
    held = store.resources.vectors_of(pair).vectors(pair.vectors_version)[np.asarray(ids["row"])].copy()
    names = ids["doc_id"].to_pylist()
    held[[7, 8]] = held[[8, 7]]
    other = store.resources.artifacts.put(".index", lambda path: build_index("Flat", held, "cosine", path))
    manifest["index"] |= {"artifact": other}
    alter(root, "UPDATE snapshot SET manifest = ? WHERE pair = 'one'", store.resources.artifacts.put_json(manifest))
    report = checked(root)
    assert found(report) == {"index_differs": {names[7], names[8]}}
    assert_mended(root, report)


def test_repaired_vector_does_not_come_back_through_reuse(root: Path, store: Store) -> None:
    """The damaged row stays in the table; no document of the same text, no other pair takes it from there."""
    text = words(70)
    seq = store.upsert([Document("n1", text)]).head
    plant(store, {"n1": embedder(TWO).embed_documents([text])[0]}, seq=[seq], content_hash=[content_hash(text)])
    store.catch_up("one")
    report = checked(root, sample=EVERY_ROW)
    assert found(report) == {"foreign_vector": {"n1"}}
    assert_passes(store.repair(report))
    store.upsert([Document("twin", text)])
    store.catch_up("one")
    store.reembed(ONE, name="again", index="Flat").wait()
    for name in ("one", "again"):
        assert_passes(checked(root, name, sample=EVERY_ROW))


def test_a_check_that_could_not_have_told_says_so_and_why(root: Path) -> None:
    """Which floor is right for this embedder is another examination; here it is what the comparison was worth."""
    alter(root, "UPDATE pair SET probe_floor = 0.85 WHERE name = 'one'")
    report = checked(root)
    [cannot] = [one for one in report.findings if one.kind == "cannot_tell"]
    assert (cannot.severity, cannot.ids) == ("unknown", ("one@2",))
    assert "only up to cosine" in cannot.message
    assert "floor 0.8500" in cannot.message


def test_a_check_that_passes_would_have_told_a_relative_of_the_model(root: Path, store: Store) -> None:
    """What `cannot_tell` is about, really there: vectors at cosine 0.9 to the own ones, and a pass without them."""
    assert_passes(checked(root, sample=EVERY_ROW))
    own, chance = vectors_of(ONE, store, LEFT[5:12]), np.random.default_rng(4)
    relatives = {}
    for id_, vector in own.items():
        across = chance.standard_normal(len(vector))
        across -= (across @ vector) * vector
        relatives[id_] = 0.9 * vector + np.sqrt(1 - 0.9**2) * across / np.linalg.norm(across)
    plant(store, relatives)
    assert found(checked(root, sample=EVERY_ROW)) == {"foreign_vector": set(LEFT[5:12])}


def test_a_few_documents_say_nothing_of_what_a_check_could_tell(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as few:
        few.upsert([Document(f"d{n}", words(n)) for n in range(5)])
        few.reembed(ONE, name="one").wait()
        assert_passes(few.check("one"))


def test_untouched_store_passes(root: Path) -> None:
    for pair in ("one", "two"):
        assert_passes(checked(root, pair, sample=EVERY_ROW))
        assert_passes(checked(root, pair, level="quick"))


def test_whoever_hears_the_progress_of_a_check_ends_it_at_any_stage(root: Path) -> None:
    stages: list[str] = []
    with vecrollback.connect(root) as store:
        before = store.report("one")
        store.check("one", seed=1, progress=lambda state: stages.append(state.phase))
        whole, kept = list(dict.fromkeys(stages)), store.report("one")
        assert "check: reading the log" in whole
        assert whole[-1] == "check: embedding texts again"
        assert before != kept
        for last in whole:

            def stop(state: Progress, last: str = last) -> None:
                if state.phase == last:
                    raise StoppedError(f"enough of {last}")

            with pytest.raises(StoppedError, match=last):
                store.check("one", progress=stop)
            assert store.report("one") == kept
        moved = store.rollback(reason="worse", progress=stop)
    assert moved.trouble.startswith("enough of")
