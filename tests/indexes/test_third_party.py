"""A kind from another package is planned by what it says of itself and rebuilt by its own fallbacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.third_party import install, install_page
from vecrollback import Document
from vecrollback.errors import IndexSpecError, RecallTooLowError
from vecrollback.indexes import build_index, index_bytes, index_suffix, open_index, resolve_spec, specs_to_build
from vecrollback.testing import IndexConformance
from vecrollback.testing.index_suite import corpus


@pytest.fixture
def rounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_page("index-kind", tmp_path / "site", monkeypatch)


def unlike(number: int) -> str:
    """A text that shares no word with those of other numbers."""
    return " ".join(f"{number}{letter}" for letter in "abcdef")


@pytest.mark.usefixtures("rounded")
def test_it_is_built_and_opened_through_its_entry_point(tmp_path: Path) -> None:
    build_index("rounded:8", corpus("cosine"), "cosine", tmp_path / "index")
    assert open_index(resolve_spec("rounded:8", 1), tmp_path / "index", "cosine").size == 3000
    with pytest.raises(IndexSpecError, match="rounded:9"):
        resolve_spec("rounded:9", 1)


@pytest.mark.usefixtures("rounded")
def test_a_plan_takes_its_word_for_the_disk_that_it_takes(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} on boats") for n in range(50)])
        disk = {index: store.plan("hash:64", index=index, measure=False).disk for index in ("rounded:4", "Flat")}
        assert store.plan("hash:64", index="shards:2(rounded:4)", measure=False).disk == disk["rounded:4"]
    assert disk["Flat"] - disk["rounded:4"] == 50 * (4 * 64 - 64)


@pytest.mark.usefixtures("rounded")
@pytest.mark.parametrize("asked", ["rounded:1", "shards:2(rounded:1)"])
def test_an_index_that_finds_too_little_is_built_again_by_its_own_fallbacks(tmp_path: Path, asked: str) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", unlike(n)) for n in range(300)])
        pair = store.reembed("hash:64", name="one", index=asked).wait()
        [snapshot] = store.snapshots("one")
        assert (pair.index_spec, (snapshot.recall or 0) >= 0.95) == (asked, True)
        built = [file.name for file in (tmp_path / "store" / "artifacts").iterdir() if file.suffix == ".rounded"]
        # Both are there, one for each shard: prune takes the one that no snapshot names.
        assert len(built) == (4 if "shards" in asked else 2)
        assert store.check("one").verdict == "pass"
        store.promote("one")
        assert [hit.id for hit in store.search(unlike(7), k=1).hits] == ["d7"]


def test_what_was_asked_for_of_the_built_in_kinds_is_built_or_refused(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} on boats") for n in range(300)])
        with pytest.raises(RecallTooLowError):
            store.reembed("hash:64", index="IVF8,PQ4x4").wait()


def test_auto_falls_back_to_what_holds_the_very_vectors() -> None:
    assert specs_to_build("auto", 100) == ["Flat", "HNSW32,Flat"]
    assert specs_to_build("auto", 100_000) == ["HNSW32,SQ8", "HNSW32,Flat", "Flat"]
    assert specs_to_build("shards:2(auto)", 100_000) == ["shards:2(HNSW32,SQ8)", *SHARDED]
    assert specs_to_build("IVF8,SQ8", 100_000) == ["IVF8,SQ8"]


SHARDED = ["shards:2(HNSW32,Flat)", "shards:2(Flat)"]


@pytest.mark.parametrize(
    ("spec", "dimension", "measured"),
    [
        ("exact", 64, 256.0),
        ("Flat", 64, 256.0),
        ("SQ6", 64, 48.1),
        ("SQbf16", 64, 128.0),
        ("HNSW32,Flat", 64, 528.1),
        ("HNSW16,SQ8", 64, 208.2),
        ("IVF64,SQ8", 64, 73.5),
        ("IVF64_HNSW16,SQ8", 64, 74.3),
        ("PQ32x4", 64, 16.3),
        ("PQ32x4fs,RFlat", 64, 272.4),
        ("IVF64,PQ32x4fs,Refine(SQ8)", 64, 91.2),
        ("IVF64,RaBitQfs,Refine(SQ8)", 64, 90.8),
        ("PCA32,HNSW32,Flat,RFlat", 64, 658.2),
        ("lance:IVF_FLAT", 64, 516.9),
        ("lance:IVF_PQ?num_sub_vectors=16", 64, 282.4),
        ("lance:IVF_RQ", 64, 320.7),
        ("lance:IVF_SQ", 384, 1929.9),
        ("lance:IVF_HNSW_SQ", 384, 2101.0),
    ],
)
def test_sizes_are_within_a_tenth_of_what_files_of_12000_vectors_took(
    spec: str, dimension: int, measured: float
) -> None:
    assert index_bytes(spec, dimension) == pytest.approx(measured, rel=0.1)


def test_artefacts_keep_the_names_that_stores_already_have() -> None:
    specs = ("exact", "Flat", "shards:2(HNSW32,Flat)", "lance:IVF_PQ")
    assert [index_suffix(spec) for spec in specs] == [".index", ".index", ".index", ".lance"]


class Silent:
    """A kind from before kinds said how large they are."""

    def accepts(self, spec: str) -> bool:
        return spec == "silent"


def test_a_kind_that_does_not_say_what_it_must_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, indexes={"silent": f"{__name__}:Silent"})
    with pytest.raises(IndexSpecError, match=r"'silent' .* does not say: suffix, bytes_per_vector, fallbacks"):
        resolve_spec("silent", 1)


def test_a_kind_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, indexes={"gone": "no_such_module:Kind"})
    with pytest.raises(IndexSpecError, match="no_such_module"):
        resolve_spec("gone", 1)


class TestRounded(IndexConformance):
    """The kind of the how-to page, against the suite."""

    spec = "rounded:8"
    decoded_cosine = 0.99
    metrics = ("cosine", "l2")

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def installed(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            install_page("index-kind", tmp_path_factory.mktemp("site"), patch)
            yield
