"""Law 2. Snapshots are written once; only the catalog moves."""

from __future__ import annotations

from pathlib import Path

from tests.support.oracle import EVERYTHING, QUERIES, TWO
from tests.support.two_pairs import TEXTS
from vecrollback import Document, Store


def test_snapshots_are_immutable_and_an_old_one_answers_as_it_did(root: Path, store: Store) -> None:
    before = [store.search(query, k=EVERYTHING) for query in QUERIES]
    files = {path: path.read_bytes() for path in (root / "artifacts").rglob("*") if path.is_file()}
    store.upsert([Document("d1", "another text by far"), Document("new", "bread")])
    store.catch_up("one")
    store.snapshot("one", rebuild=True)
    store.reembed(TWO, name="more", index="HNSW16,Flat").wait()
    store.compact(purge=True)
    store.upsert([Document("d1", TEXTS["d1"])])
    store.restore("one@1", reason="a test", catch_up=False)
    assert {path: path.read_bytes() for path in files} == files
    for query, old in zip(QUERIES, before, strict=True):
        result = store.search(query, k=EVERYTHING)
        assert result.hits == old.hits
        assert (result.pair, result.snapshot, result.watermark) == ("one", 1, old.watermark)
