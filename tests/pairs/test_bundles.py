"""A bundle is a whole backup: what it brings back is what was exported, and nothing that was deleted.

Covers pairs.bundles.
"""

from __future__ import annotations

import re
import shutil
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.pairs.test_bundles_refused import state
from tests.support.operations import ROOT, start
from tests.support.oracle import assert_passes
from vecrollback import Document, Store
from vecrollback.embedders.hashing import HashingEmbedder
from vecrollback.errors import BundleError, CorruptArtifactError, UnknownNameError, UsageError
from vecrollback.records import Hit, Progress

SPEC = "hash:64?seed=1"
QUERIES = ("boats in the harbour", "bread and lake 5", "note 17")
INDEXES = ("Flat", "HNSW32,Flat", "lance:IVF_FLAT", "shards:3(Flat)", "shards:2(lance:IVF_FLAT)")
"""Lossless ones: scores can be compared to the last digit."""
ALL = 1_000


def text(number: int, version: int = 0) -> str:
    place = ["boats", "lake", "bread", "harbour"][number % 4]
    return f"note {number} about the {place}, number {number * 7}, version {version}"


def fill(store: Store, index: str) -> str:
    """A pair with history: changed, deleted and blank documents, rows in the index and after it."""
    store.upsert([Document(f"d{n}", text(n), {"n": n, "tags": ["a", n]}) for n in range(300)])
    store.upsert([Document("blank", ""), Document("Umlaut ä, 中文, \U0001f600", "an id that is no ASCII", {"x": None})])
    store.reembed(SPEC, name="v1", index=index, settings={"threshold": 0.3}).wait()
    store.promote("v1")
    store.upsert([Document(f"d{n}", text(n, 1), {"n": n}) for n in range(20, 30)])
    store.delete([f"d{n}" for n in range(10)])
    store.catch_up("v1")
    return store.snapshot("v1").ref


@pytest.fixture(scope="module", params=INDEXES)
def origin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a bundle of its snapshot v1@2."""
    folder = tmp_path_factory.mktemp("origin")
    with vecrollback.connect(folder / "store", create=True) as store:
        assert fill(store, request.param) == "v1@2"
        store.export_snapshot("v1@2", folder / "v1.bundle")
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one index kind, for what does not depend on it."""
    folder = tmp_path_factory.mktemp("plain")
    with vecrollback.connect(folder / "store", create=True) as store:
        fill(store, "Flat")
        store.export_snapshot("v1@2", folder / "v1.bundle")
    return folder


@pytest.fixture
def same(plain: Path, tmp_path: Path) -> Path:
    """A copy of the store that the bundle comes from."""
    shutil.copytree(plain / "store", tmp_path / "same")
    return tmp_path / "same"


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is embedded as a document, probes and check's samples included."""
    texts: list[str] = []
    original = HashingEmbedder.embed_documents

    def noted(self: HashingEmbedder, given: list[str]) -> object:
        texts.extend(given)
        return original(self, given)

    monkeypatch.setattr(HashingEmbedder, "embed_documents", noted)
    return texts


def answers(store: Store) -> list[list[Hit]]:
    def sorted_hits(query: str) -> list[Hit]:
        return sorted(store.search(query, k=ALL).hits, key=lambda hit: (-round(hit.score, 5), hit.id))

    return [sorted_hits(query) for query in QUERIES]


def told(hits: list[list[Hit]]) -> list[list[tuple[object, ...]]]:
    return [[(h.id, round(h.score, 5), h.text, dict(h.metadata), h.chunk, h.stale) for h in found] for found in hits]


def ids(store: Store) -> set[str]:
    return {hit.id for hits in answers(store) for hit in hits}


# -- round trips ------------------------------------------------------------------------------------------------------


def test_lost_artefacts_return_byte_for_byte(origin: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(origin / "store", root)
    with vecrollback.connect(root) as store:
        wanted, before = told(answers(store)), state(store)
    shutil.rmtree(root / "artifacts")
    with vecrollback.connect(root) as store:
        assert store.check("v1").verdict != "pass"
        assert store.import_snapshot(origin / "v1.bundle").ref == "v1@2"
        assert_passes(store.check("v1"))
        assert told(answers(store)) == wanted
        kept = {name: data for name, data in before[1].items() if name in state(store)[1]}
        assert {name: state(store)[1][name] for name in kept} == kept


def test_empty_store_answers_like_the_origin(origin: Path, tmp_path: Path, embedded: list[str]) -> None:
    with vecrollback.connect(origin / "store") as store:
        wanted, documents, embedder = told(answers(store)), store.status()["corpus"]["documents"], store.pair("v1")
    embedded.clear()
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        assert store.import_snapshot(origin / "v1.bundle").ref == "v1@2"
        pair = store.pair("v1")
        assert (pair.state, store.lag("v1"), pair.settings) == ("ready", 0, {"threshold": 0.3})
        assert (pair.fingerprint, pair.contract) == (embedder.fingerprint, embedder.contract)
        assert store.catch_up("v1").embedded == 0
        assert embedded_documents(embedded) == set(), "the bundle brings every vector"
        assert_passes(store.check("v1"))
        store.promote("v1")
        assert told(answers(store)) == wanted
        assert store.status()["corpus"]["documents"] == documents


def embedded_documents(texts: list[str]) -> set[str]:
    return {t for t in texts if t.startswith("note ")}


def test_damaged_artefacts_are_replaced(plain: Path, same: Path) -> None:
    with vecrollback.connect(same) as store:
        wanted = told(answers(store))
    for path in (same / "artifacts").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with vecrollback.connect(same) as store:
        store.import_snapshot(plain / "v1.bundle")
        assert_passes(store.check("v1"))
        assert told(answers(store)) == wanted


def test_damaged_lance_index_is_replaced(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.export_snapshot(fill(store, "lance:IVF_FLAT"), tmp_path / "b")
        index = next((tmp_path / "store" / "artifacts").glob("*.lance"))
        (index / "search.json").write_bytes(b"{}")
        (index / "stray").write_bytes(b"")
        store.import_snapshot(tmp_path / "b")
        assert_passes(store.check("v1"))


def test_forgotten_snapshot_is_registered_again_and_serves_on_demand(plain: Path, same: Path) -> None:
    with vecrollback.connect(same) as store:
        store.upsert([Document("later", text(500))])
        store.catch_up("v1")
        assert store.snapshot("v1").ref == "v1@3"
        old = next(s for s in store.snapshots() if s.number == 2)
        store.delete_snapshot("v1@2")
        assert store.import_snapshot(plain / "v1.bundle") == old
        assert store.pair("v1").snapshot == 3, "an import moves nothing"
        assert store.search("note 17").snapshot == 3
        store.restore("v1@2", reason="a test")
        assert_passes(store.check("v1"))
        assert "later" in ids(store)


def test_import_changes_nothing_in_a_store_that_lacks_nothing(plain: Path, same: Path, tmp_path: Path) -> None:
    with vecrollback.connect(same) as store:
        before = state(store)
        store.import_snapshot(plain / "v1.bundle")
        assert state(store) == before
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        first = store.import_snapshot(plain / "v1.bundle")
        before = state(store)
        assert store.import_snapshot(plain / "v1.bundle") == first
        assert state(store) == before


def test_export_is_the_same_bytes_every_time(plain: Path, tmp_path: Path) -> None:
    with vecrollback.connect(plain / "store") as store:
        seen: list[Progress] = []
        done = store.export_snapshot("v1", tmp_path / "again.bundle", progress=seen.append)
    assert (tmp_path / "again.bundle").read_bytes() == (plain / "v1.bundle").read_bytes()
    assert (done.snapshot, done.bytes, done.documents) == ("v1@2", (plain / "v1.bundle").stat().st_size, 292)
    assert seen[-1].documents == seen[-1].total
    with tarfile.open(plain / "v1.bundle") as tar:
        assert tar.getnames()[-2:] == ["bundle.json", "bundle.sha256"]


def test_a_bundle_of_a_bundle_is_as_good(plain: Path, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "second", create=True) as store:
        store.export_snapshot(store.import_snapshot(plain / "v1.bundle").ref, tmp_path / "second.bundle")
    with vecrollback.connect(plain / "store") as store:
        wanted = told(answers(store))
    with vecrollback.connect(tmp_path / "third", create=True) as store:
        store.import_snapshot(tmp_path / "second.bundle")
        store.promote("v1")
        assert told(answers(store)) == wanted


# -- the log of the importing store decides ---------------------------------------------------------------------------


def test_text_deleted_before_the_export_is_not_in_the_bundle(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        ref = fill(store, "Flat")
        store.upsert([Document("d50", "replaced"), Document("d51", "secret one")])
        store.delete(["d51"])
        store.export_snapshot(ref, tmp_path / "b")
    data = (tmp_path / "b").read_bytes()
    assert text(52).encode() in data
    assert text(50).encode() not in data and text(51).encode() not in data and b"secret" not in data


def test_changed_extra_and_equal_documents_are_told_apart(plain: Path, tmp_path: Path, embedded: list[str]) -> None:
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        store.upsert([Document("d40", "note 40 is another text here"), Document("mine", "note of my own")])
        store.upsert([Document("d41", text(41), {"mine": True}), Document("twin", text(42))])
        embedded.clear()
        store.import_snapshot(plain / "v1.bundle")
        assert not embedded, "an import loads no model"
        assert store.pair("v1").watermark == 0, "d40, the first change, has no vector yet"
        caught = store.catch_up("v1")
        assert embedded_documents(embedded) == {"note 40 is another text here", "note of my own"}
        assert (caught.embedded, caught.reused, caught.lag) == (2, 1, 0)
        assert_passes(store.check("v1", sample=ALL))
        store.promote("v1")
        shown = {hit.id: hit for hit in store.search("note", k=ALL).hits}
        assert {"d40", "mine", "d41", "twin", "d299"} <= shown.keys()
        assert shown["d40"].text == "note 40 is another text here"
        assert shown["d41"].metadata == {"mine": True}, "what this store knows of a document stays"
        assert not any(hit.stale for hit in shown.values())


def test_changed_document_is_not_served_by_its_old_vector(plain: Path, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        store.upsert([Document("d40", "entirely different words")])
        ref = store.import_snapshot(plain / "v1.bundle").ref
        store.restore(ref, reason="before any catch-up", catch_up=False)
        assert "d40" not in ids(store)
        assert_passes(store.check("v1", sample=ALL))
        store.catch_up("v1")
        assert "d40" in ids(store)


def test_store_without_a_single_document_in_common_gets_an_empty_index(plain: Path, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        store.delete([*(f"d{n}" for n in range(300)), "blank", "Umlaut ä, 中文, \U0001f600"])
        assert store.import_snapshot(plain / "v1.bundle").chunks == 0
        store.upsert([Document("one", text(1))])
        store.promote("v1")
        assert ids(store) == {"one"}
        assert_passes(store.check("v1"))


def test_imported_documents_are_acknowledged_like_any_other(plain: Path, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        store.import_snapshot(plain / "v1.bundle")
        assert store.get(["d33"])["d33"] == Document("d33", text(33), {"n": 33, "tags": ["a", 33]})
        assert store.status()["corpus"]["head"] == 292
        store.promote("v1")
        assert [hit.id for hit in store.search("note", where="n = 77").hits] == ["d77"]


# -- names and what cannot be put back --------------------------------------------------------------------------------


def test_the_same_store_can_have_it_twice_under_two_names(plain: Path, same: Path, embedded: list[str]) -> None:
    with vecrollback.connect(same) as store:
        embedded.clear()
        assert store.import_snapshot(plain / "v1.bundle", name="copy").ref == "copy@2"
        assert store.catch_up("copy").embedded == 0
        assert_passes(store.check("copy"))
        assert_passes(store.check("v1"))
        assert store.live().name == "v1"


def test_pair_of_the_same_name_made_here_is_not_overwritten(plain: Path, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "new", create=True) as store:
        store.upsert([Document("own", "text")])
        store.reembed(SPEC, name="v1", index="Flat").wait()
        before = state(store)
        with pytest.raises(BundleError, match="taken") as raised:
            store.import_snapshot(plain / "v1.bundle")
        assert "--name" in raised.value.hint
        assert state(store) == before
        with pytest.raises(UsageError):
            store.import_snapshot(plain / "v1.bundle", name="../evil")
        assert store.import_snapshot(plain / "v1.bundle", name="other").ref == "other@2"


def test_lost_vectors_are_told_and_come_back_under_a_new_name(plain: Path, same: Path, embedded: list[str]) -> None:
    shutil.rmtree(same / "tables" / "vectors-v1.lance" / "data")
    with vecrollback.connect(same) as store:
        before = state(store)
        with pytest.raises(CorruptArtifactError) as raised:
            store.import_snapshot(plain / "v1.bundle")
        assert "--name" in raised.value.hint
        assert state(store) == before
        embedded.clear()
        store.import_snapshot(plain / "v1.bundle", name="v1-back")
        assert not embedded
        store.restore("v1-back@2", reason="v1 lost its vectors", catch_up=False)
        assert "d250" in ids(store)


def test_damage_is_never_exported(same: Path, tmp_path: Path) -> None:
    victims = [*(same / "artifacts").iterdir(), next((same / "tables" / "vectors-v1.lance" / "data").iterdir())]
    target = tmp_path / "b"
    target.write_bytes(b"the backup of yesterday")
    for victim in victims:
        sound = victim.read_bytes()
        victim.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        with vecrollback.connect(same) as store, pytest.raises(CorruptArtifactError):
            for snapshot in store.snapshots():
                store.export_snapshot(snapshot.ref, target)
            pytest.fail(f"{victim} was changed")
        victim.write_bytes(sound)
        target.write_bytes(b"the backup of yesterday")
    with vecrollback.connect(same) as store:
        for ref, error in (("v1@9", UnknownNameError), ("nobody", UnknownNameError)):
            with pytest.raises(error):
                store.export_snapshot(ref, target)
        with pytest.raises(UsageError):
            store.export_snapshot("v1@2", tmp_path)
    assert target.read_bytes() == b"the backup of yesterday"
    assert not list(tmp_path.glob(".b.*")), "no half a bundle is left"


# -- kill -9 ----------------------------------------------------------------------------------------------------------

EXPORT = "store.export_snapshot('v1@2', bundle)"
IMPORT = "store.import_snapshot(bundle)"
ADOPTED = {
    "bundle.unpacked": 1,
    "bundle.documents_written": 1,
    "bundle.rows_written": 1,
    "bundle.index_built": 1,
    "bundle.artifact_restored": 4,
    "bundle.table_moved": 1,
    "bundle.registering": 1,
    "bundle.registered": 1,
    "corpus.merged": 1,
    "table.committed": 2,
}
PUT_BACK = {
    "bundle.artifact_set_aside": 2,
    "bundle.artifact_restored": 4,
    "bundle.registering": 1,
    "bundle.registered": 1,
}
EXPORTED = {"bundle.members_written": 1, "bundle.exported": 1}


def each(points: dict[str, int]) -> list[Any]:
    """Every passing of every point; those between the first and the last are slow."""
    return [
        pytest.param(f"{point}:{n}", marks=pytest.mark.slow if 1 < n < count else ())
        for point, count in points.items()
        for n in range(1, count + 1)
    ]


def killed(root: Path, bundle: Path, work: str, fault: str) -> None:
    code = f"import sys, vecrollback\nbundle = sys.argv[2]\nwith vecrollback.connect(sys.argv[1]) as store: {work}"
    process = start(str(root), str(bundle), code=code, VECROLLBACK_FAULT=fault)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == -signal.SIGKILL, errors


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with documents and a pair of its own."""
    root = tmp_path_factory.mktemp("other") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document("own", "note of my own"), Document("d40", "note 40, another")])
        store.delete(["d41"])
        store.reembed("hash:64?seed=2", name="own").wait()
        store.promote("own")
    return root


def imported(root: Path, bundle: Path) -> object:
    """Import, bring up to date and let it serve; what the store then answers."""
    with vecrollback.connect(root) as store:
        assert_passes(store.check("own"))
        assert [pair.name for pair in store.pairs()] in (["own"], ["v1", "own"], ["own", "v1"])
        store.import_snapshot(bundle)
        store.catch_up("v1")
        assert_passes(store.check("v1", sample=ALL))
        store.promote("v1")
        assert not list((root / "artifacts").glob(".*")), "nothing of the dead import is left"
        return told(answers(store)), store.status()["corpus"]


@pytest.fixture(scope="module")
def undisturbed(other: Path, plain: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    """What a store answers whose import nobody killed."""
    root = shutil.copytree(other, tmp_path_factory.mktemp("undisturbed") / "store")
    return imported(root, plain / "v1.bundle")


@pytest.mark.parametrize("fault", each(ADOPTED))
def test_killed_import_into_another_store_is_finished_by_the_next(
    fault: str, plain: Path, other: Path, undisturbed: object, tmp_path: Path
) -> None:
    root = shutil.copytree(other, tmp_path / "killed")
    killed(root, plain / "v1.bundle", IMPORT, fault)
    assert imported(root, plain / "v1.bundle") == undisturbed


@pytest.mark.parametrize("fault", each(PUT_BACK))
def test_killed_import_into_the_same_store_is_finished_by_the_next(fault: str, plain: Path, same: Path) -> None:
    with vecrollback.connect(same) as store:
        wanted = told(answers(store))
        store.snapshot("v1")
        store.delete_snapshot("v1@2")
    paths = [p for p in (same / "artifacts").iterdir() if p.suffix in (".index", ".npy")]
    for path in paths:
        path.write_bytes(b"damaged")
    for path in (same / "artifacts").glob("*.arrow"):
        path.unlink()
    manifests = [p for p in (same / "artifacts").glob("*.json") if p.read_bytes().find(b'"number": 2') > 0]
    for path in manifests:
        path.unlink()
    killed(same, plain / "v1.bundle", IMPORT, fault)
    with vecrollback.connect(same) as store:
        store.import_snapshot(plain / "v1.bundle")
        assert_passes(store.check("v1"))
        store.restore("v1@2", reason="a test")
        assert told(answers(store)) == wanted


@pytest.mark.parametrize("fault", each(EXPORTED))
def test_killed_export_leaves_the_bundle_of_before(fault: str, plain: Path, same: Path, tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.write_bytes(b"the backup of yesterday")
    killed(same, target, EXPORT, fault)
    assert target.read_bytes() == b"the backup of yesterday"
    with vecrollback.connect(same) as store:
        store.export_snapshot("v1@2", target)
    assert target.read_bytes() == (plain / "v1.bundle").read_bytes()


def test_every_fault_point_of_bundles_is_killed_at() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "vecrollback").rglob("*.py"))
    points = set(re.findall(r'reach\("(bundle\.[^"]+)"\)', code))
    assert points == {p for p in (*ADOPTED, *PUT_BACK, *EXPORTED) if p.startswith("bundle.")}
