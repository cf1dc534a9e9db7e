"""Files that are mapped are compared first: a flipped bit is found, neither answered nor crashed on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.oracle import EVERYTHING, ONE
from vecrollback import Document
from vecrollback.errors import CorruptArtifactError

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
