"""Files that are mapped are compared first: a flipped bit is found, neither answered nor crashed on."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.oracle import EVERYTHING, ONE
from vecrollback import Document
from vecrollback.errors import CorruptArtifactError
from vecrollback.storage.artifacts import base

TEXTS = {f"d{n}": words(n) for n in range(30)}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        store.reembed(ONE, name="one", index="Flat").wait()
        store.promote("one")
        store.search("boats")
    return root


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def answered(root: Path) -> dict[str, str]:
    with vecrollback.connect(root) as store:
        return {hit.id: hit.text for hit in store.search("boats", k=EVERYTHING).hits}


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_cache_of_texts_is_written_anew(root: Path, seed: int) -> None:
    [path] = (root / "cache").glob("documents-*.arrow")
    sound = path.read_bytes()
    flip(path, random.Random(seed))
    assert answered(root) == TEXTS
    [path] = (root / "cache").glob("documents-*.arrow")
    assert path.read_bytes() == sound


def test_a_cache_of_an_earlier_version_is_written_anew(root: Path) -> None:
    [path] = (root / "cache").glob("documents-*.arrow")
    head = path.stem.split("-")[1]
    path.rename(path.with_name(f"documents-{head}.arrow"))
    assert answered(root) == TEXTS
    [path] = (root / "cache").glob("documents-*.arrow")
    assert len(path.stem.split("-")) == 3


def test_a_sound_cache_of_texts_is_not_written_again(root: Path) -> None:
    [path] = (root / "cache").glob("documents-*.arrow")
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert answered(root) == TEXTS
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_id_map_is_refused_by_name(root: Path, seed: int) -> None:
    [path] = (root / "artifacts").glob("*.ids.arrow")
    flip(path, random.Random(seed))
    with vecrollback.connect(root) as store:
        with pytest.raises(CorruptArtifactError, match=path.name) as refused:
            store.search("boats")
        assert "snapshot import" in refused.value.hint
        assert store.check("one").verdict == "fail"


@pytest.mark.parametrize("index", ["Flat", "HNSW32,SQ8", "shards:2(Flat)", "lance:IVF_FLAT"])
def test_a_damaged_index_is_refused_by_name(tmp_path: Path, index: str) -> None:
    root = tmp_path / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        store.promote(store.reembed(ONE, name="one", index=index).wait())
        store.search("boats")
    made = [path for path in sorted((root / "artifacts").rglob("*")) if path.is_file() and _is_of_an_index(path)]
    chance = random.Random(index)
    for path in chance.sample(made, min(3, len(made))):
        sound, status = path.read_bytes(), path.stat()
        flip(path, chance)
        with vecrollback.connect(root) as store, pytest.raises(CorruptArtifactError, match="was changed") as refused:
            store.search("boats")
        assert "snapshot import" in refused.value.hint
        path.write_bytes(sound)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert answered(root) == TEXTS


def _is_of_an_index(path: Path) -> bool:
    return path.suffix not in (".json", ".arrow", ".npy") or "lance" in str(path)


@pytest.mark.parametrize("seed", range(4))
def test_answers_without_damaged_vectors_say_so(root: Path, seed: int) -> None:
    with vecrollback.connect(root) as store:
        store.upsert([Document("d3", "boats on another lake")])
        store.catch_up("one")
        sound = {hit.id: hit.score for hit in store.search("boats", k=EVERYTHING).hits}
    path = max((root / "tables" / "vectors-one.lance" / "data").iterdir(), key=lambda one: one.stat().st_mtime_ns)
    flip(path, random.Random(seed))
    with vecrollback.connect(root) as store:
        result = store.search("boats", k=EVERYTHING)
        assert not result.current
        assert {hit.id: hit.score for hit in result.hits if hit.id != "d3"}.items() <= sound.items()
        assert store.check("one").verdict == "fail"


def test_a_damaged_vector_is_given_to_nobody(root: Path) -> None:
    path = max((root / "tables" / "vectors-one.lance" / "data").iterdir(), key=lambda one: one.stat().st_size)
    flip(path, random.Random(0))
    with vecrollback.connect(root) as store:
        assert {hit.id for hit in store.search("boats", k=EVERYTHING).hits} == set(TEXTS)
        with pytest.raises(CorruptArtifactError, match=path.name):
            store.search("boats", include_vectors=True)


def test_an_index_that_was_compared_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [path] = (root / "artifacts").glob("*.index")
    assert answered(root) == TEXTS
    compared: list[Path] = []
    monkeypatch.setattr(base, "digest", lambda one: compared.append(one) or "another")
    assert answered(root) == TEXTS
    assert not compared
    path.touch()
    with vecrollback.connect(root) as store, pytest.raises(CorruptArtifactError):
        store.search("boats")
    assert set(compared) == {path}
