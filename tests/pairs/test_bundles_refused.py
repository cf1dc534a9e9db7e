"""A bundle with anything wrong in it is refused, and the store is as it was."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support import bundle_files as make
from vecrollback import Document, Store
from vecrollback.errors import BundleError

SPEC = "hash:64?seed=1"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("origin")
    with vecrollback.connect(folder / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} about boats and lake {n % 7}", {"n": n}) for n in range(40)])
        store.reembed(SPEC, name="v1", index="Flat").wait()
        store.upsert([Document("d1", "another text by now"), Document("late", "a late one")])
        store.catch_up("v1")
        store.export_snapshot(store.snapshot("v1").ref, folder / "v1.bundle")
    return folder / "v1.bundle"


@pytest.fixture(scope="module")
def found(bundle: Path) -> make.Members:
    return make.members(bundle)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with vecrollback.connect(tmp_path_factory.mktemp("target") / "store", create=True) as store:
        store.upsert([Document("own", "a text of this store"), Document("d2", "another d2")])
        store.delete(["d3"])
        store.reembed("hash:64?seed=2", name="own").wait()
        yield store


def state(store: Store) -> tuple[list[str], dict[str, str]]:
    """Every row of the catalog, every byte of every other file but those that remember which were compared."""
    with sqlite3.connect(store.root / "catalog.db") as connection:
        rows = list(connection.iterdump())
    files = [p for p in store.root.rglob("*") if p.is_file()]
    left_out = ("catalog.db", "sound-documents")
    files = [p for p in files if p.parent.name not in ("locks", "sound-artifacts")]
    kept = [p for p in files if not p.name.startswith(left_out)]
    return rows, {str(p.relative_to(store.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


def refused(store: Store, data: bytes, path: Path, name: str | None = None) -> BundleError:
    path.write_bytes(data)
    before = state(store)
    with pytest.raises(BundleError) as raised:
        store.import_snapshot(path, name=name)
    assert raised.value.hint, "a refusal names its cure"
    assert state(store) == before
    return raised.value


def test_a_bundle_put_together_again_is_accepted(found: make.Members, tmp_path: Path) -> None:
    """So what the tests below see refused is refused for what they changed."""
    probes = found["probes.npy"]
    same = make.with_artifact(found, "probes.npy", probes, suffix=".npy", key="probes")
    for number, data in enumerate((make.sealed(found), make.with_manifest(found), same)):
        path = tmp_path / f"{number}.bundle"
        path.write_bytes(data)
        with vecrollback.connect(tmp_path / f"store{number}", create=True) as store:
            assert store.import_snapshot(path).ref == "v1@2"


# -- damage -----------------------------------------------------------------------------------------------------------


def test_any_flipped_bit_is_refused(bundle: Path, store: Store, tmp_path: Path) -> None:
    """In every header, every member, every filling and the end; state is compared once for all of them."""
    whole = bundle.read_bytes()
    chance = random.Random(11)
    places = [*chance.sample(range(len(whole)), 60), len(whole) - 1, len(whole) - 1024]
    with tarfile.open(bundle) as tar:
        for info in tar:
            header = info.offset + chance.randrange(512)
            body = info.offset_data + chance.randrange(info.size)
            filling = info.offset_data + info.size if info.size % 512 else body
            places += [info.offset, header, body, info.offset_data, info.offset_data + info.size - 1, filling]
    before, path = state(store), tmp_path / "flipped.bundle"
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(BundleError):
            store.import_snapshot(path)
    assert state(store) == before


def test_a_truncated_or_lengthened_file_is_refused(bundle: Path, store: Store, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    for length in (0, 1, 511, 512, 513, 5_000, len(whole) // 2, len(whole) - 1024, len(whole) - 512, len(whole) - 1):
        refused(store, whole[:length], tmp_path / "cut.bundle")
    refused(store, whole + b"\0", tmp_path / "long.bundle")
    refused(store, whole + whole, tmp_path / "double.bundle")


def test_what_is_no_bundle_is_refused(bundle: Path, store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "nowhere", folder):
        with pytest.raises(BundleError, match="does not exist"):
            store.import_snapshot(path)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a.txt"), io.BytesIO())
    for data in (b"a text", b"{}", plain.getvalue(), bytes(10_240), b"PK\x03\x04" + bytes(1000)):
        refused(store, data, tmp_path / "other")


# -- hostile archives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b'{"id": "a"}\n', bytes(range(256)) * 8, b"PK\x03\x04" + bytes(2000)])
def test_a_file_that_is_something_else_is_called_that(store: Store, content: bytes, tmp_path: Path) -> None:
    assert "is not a bundle or a backup" in str(refused(store, content, tmp_path / "other.bundle"))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x",
        "../x",
        "a/../../x",
        "index/../../x",
        "./x",
        "a//b",
        "C:\\x",
        "..\\x",
        "index/..",
        "a/",
        "a\nb",
        "~/x:y",
    ],
)
def test_member_outside_of_the_folder_is_refused(
    name: str, bundle: Path, found: make.Members, store: Store, tmp_path: Path
) -> None:
    error = refused(store, make.inserted(bundle.read_bytes(), make.member(name, b"evil")), tmp_path / "outside.bundle")
    assert "member" in str(error)
    refused(store, make.sealed(found | {name: b"evil"}), tmp_path / "listed.bundle")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.DIRTYPE, "directory"),
        (tarfile.XHDTYPE, "not written by vecrollback"),
        (tarfile.GNUTYPE_LONGNAME, "not written by vecrollback"),
        (tarfile.GNUTYPE_SPARSE, "not written by vecrollback"),
    ],
)
def test_member_that_is_no_file_is_refused(
    kind: bytes, word: str, bundle: Path, found: make.Members, store: Store, tmp_path: Path
) -> None:
    link = make.header("index", 0, type=kind, linkname="/etc/passwd")
    assert word in str(refused(store, make.inserted(bundle.read_bytes(), link), tmp_path / "link.bundle"))
    rest = make.sealed({name: data for name, data in found.items() if name != "index"})
    assert word in str(refused(store, make.inserted(rest, link), tmp_path / "instead.bundle"))


def test_unusual_owners_modes_and_times_are_refused(bundle: Path, store: Store, tmp_path: Path) -> None:
    for other in ({"mode": 0o4755}, {"uid": 1}, {"mtime": 1}, {"uname": "root"}):
        data = make.inserted(bundle.read_bytes(), make.member("x", b"x", **other))
        assert "header" in str(refused(store, data, tmp_path / "odd.bundle"))


def test_duplicate_unexpected_and_missing_members_are_refused(
    bundle: Path, found: make.Members, store: Store, tmp_path: Path
) -> None:
    whole, path = bundle.read_bytes(), tmp_path / "members.bundle"
    assert "twice" in str(refused(store, make.inserted(whole, make.member("rows.jsonl", b"[]\n")), path))
    assert "not listed" in str(refused(store, make.inserted(whole, make.member("more", b"x")), path))
    assert "no bundle holds" in str(refused(store, make.sealed(found | {"more": b"x"}), path))
    for name in found:
        without = {other: data for other, data in found.items() if other != name}
        if name.startswith("bundle."):
            data = b"".join(make.member(n, d) for n, d in without.items()) + bytes(1024)
        else:
            data = make.sealed(without)
        refused(store, data, path)

    def lists_more(listing: make.Listing) -> None:
        listing["members"]["index/more"] = {"size": 1, "sha256": "0" * 64}

    refused(store, make.sealed(found, lists_more), path)


def test_member_larger_than_listed_is_refused(found: make.Members, store: Store, tmp_path: Path) -> None:
    def understate(listing: make.Listing) -> None:
        listing["members"]["documents.jsonl"]["size"] -= 1

    assert "bytes" in str(refused(store, make.sealed(found, understate), tmp_path / "size.bundle"))
    huge = make.header("documents.jsonl", 1 << 40)
    assert "cut off" in str(refused(store, huge + bytes(4096), tmp_path / "huge.bundle"))


def test_decompression_bombs_are_refused_unopened(
    bundle: Path, found: make.Members, store: Store, tmp_path: Path
) -> None:
    refused(store, gzip.compress(bundle.read_bytes()), tmp_path / "compressed.bundle")
    refused(store, gzip.compress(bytes(50 << 20)), tmp_path / "bomb.bundle")
    for probes in (make.zip_of_zeros(), make.npy_header("(1000000000000, 64)"), make.npy_header("(10**9, 64)")):
        data = make.with_artifact(found, "probes.npy", probes, suffix=".npy", key="probes")
        assert "probes.npy" in str(refused(store, data, tmp_path / "probes.bundle"))


# -- contents that lie ------------------------------------------------------------------------------------------------


def test_foreign_and_newer_contents_are_refused(found: make.Members, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "contents.bundle"
    assert "upgrade" in refused(store, make.sealed(found, lambda c: c.update(format=3)), path).hint
    assert "no bundle of vecrollback" in str(refused(store, make.sealed(found, lambda c: c.update(kind="x")), path))
    newer = make.with_manifest(found, format=99)
    assert "upgrade" in refused(store, newer, path).hint
    body = b"".join(make.member(n, d) for n, d in found.items() if not n.startswith("bundle."))
    for data in (b"", b"[]", b"null", b"{", b"[" * 100_000, b'{"kind": "vecrollback bundle"}', b"\xff", b"1" * 10_000):
        refused(store, body + make.contents(data), path)


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "../../evil"},
        {"name": "a/b"},
        {"name": ""},
        {"name": 7},
        {"dimension": 0},
        {"dimension": 10**9},
        {"dimension": True},
        {"metric": "manhattan"},
        {"index_spec": "no such index"},
        {"probes": "../../catalog.db"},
        {"probe_floor": float("nan")},
        {"embedder": "\ud800"},
        {"settings": []},
        {"contract": None},
        {"fingerprint": "0" * 32},
    ],
    ids=str,
)
def test_impossible_pair_is_refused(
    facts: dict[str, object], found: make.Members, store: Store, tmp_path: Path
) -> None:
    refused(store, make.sealed(found, lambda c: c["pair"].update(facts)), tmp_path / "pair.bundle")


@pytest.mark.parametrize(
    "facts",
    [
        {"pair": "other"},
        {"number": 0},
        {"number": 2**70},
        {"rows": 7},
        {"rows": -1},
        {"watermark": 2**70},
        {"dimension": 32},
        {"index": {}},
        {"index": {"artifact": "../../catalog.db"}},
        {"vector_files": 1},
        {"more": 1},
        {"format": "1"},
    ],
    ids=str,
)
def test_impossible_manifest_is_refused(
    facts: dict[str, object], found: make.Members, store: Store, tmp_path: Path
) -> None:
    if facts.get("index"):
        facts = {"index": json.loads(found["manifest.json"])["index"] | facts["index"]}  # type: ignore[operator]
    refused(store, make.with_manifest(found, **facts), tmp_path / "manifest.bundle")


def rows_of(found: make.Members) -> list[list[object]]:
    return [json.loads(line) for line in found["rows.jsonl"].splitlines()]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, "a\0b"),
        (0, ""),
        (0, None),
        (0, "x" * 20_000),
        (1, 0),
        (1, 2**63),
        (1, "1"),
        (3, -2),
        (3, 5),
        (3, 1.5),
        (4, -1),
        (5, -1),
        (6, "zz"),
        (6, "00"),
        (7, "another"),
        (7, None),
    ],
)
def test_impossible_row_is_refused(
    column: int, value: object, found: make.Members, store: Store, tmp_path: Path
) -> None:
    rows = rows_of(found)
    rows[5][column] = value
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    refused(store, make.sealed(found | {"rows.jsonl": lines}), tmp_path / "rows.bundle")


def test_rows_that_are_no_rows_are_refused(found: make.Members, store: Store, tmp_path: Path) -> None:
    lines = found["rows.jsonl"].splitlines(keepends=True)
    for data in (b"", b"[]\n" * len(lines), b"x", b"".join(lines[1:]), b"".join([*lines, lines[0]])):
        refused(store, make.sealed(found | {"rows.jsonl": data}), tmp_path / "rows.bundle")


def test_vectors_that_are_no_numbers_are_refused(found: make.Members, store: Store, tmp_path: Path) -> None:
    for wrong in (np.nan, np.inf):
        vectors = np.frombuffer(found["vectors.f32"], "<f4").copy()
        vectors[64 * 30 + 3] = wrong
        data = make.sealed(found | {"vectors.f32": vectors.tobytes()})
        assert "NaN" in str(refused(store, data, tmp_path / "nan.bundle"))


@pytest.mark.parametrize(
    "change",
    [
        {"text": "not what the vectors were made from"},
        {"id": "d3\0"},
        {"id": "d5"},
        {"metadata": []},
        {"metadata": {"n": float("nan")}},
        {"more": 1},
        {"text": 5},
        {"content_hash": 5},
    ],
    ids=str,
)
def test_impossible_document_is_refused(
    change: dict[str, object], found: make.Members, store: Store, tmp_path: Path
) -> None:
    documents = [json.loads(line) for line in found["documents.jsonl"].splitlines()]
    documents[7] |= change
    lines = "".join(json.dumps(document) + "\n" for document in documents).encode()
    refused(store, make.sealed(found | {"documents.jsonl": lines}), tmp_path / "documents.bundle")


def test_metadata_of_another_type_than_this_store_has_comes_in_and_both_are_found(bundle: Path, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("own", "text", {"n": "a string"})])
        store.import_snapshot(bundle)
        assert store.get(["own"])["own"].metadata == {"n": "a string"}
        assert store.count(where="n = 'a string'") == 1
        assert store.count(where="n >= 0") == 39  # of the bundle, d1 and late have none


# -- names ------------------------------------------------------------------------------------------------------------


def test_name_of_another_pair_is_refused_and_the_hint_names_the_option(
    bundle: Path, store: Store, tmp_path: Path
) -> None:
    error = refused(store, bundle.read_bytes(), tmp_path / "taken.bundle", name="own")
    assert "taken" in str(error) and "--name" in error.hint
