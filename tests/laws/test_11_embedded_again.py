"""Law 11. The text a vector was made from is kept or can be rebuilt exactly, or the vector is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.operations import EVERY_ROW, words
from tests.support.oracle import EVERYTHING, QUERIES, TOLERANCE, TWO, assert_passes, embedder
from tests.support.two_pairs import TEXTS
from vecrollback import Document, Store
from vecrollback.errors import CheckRefusedError
from vecrollback.pairs.vectors import newest
from vecrollback.records.arrays import FloatArray

CHUNKED = f"{TWO}&chunk=tokens:4:1"


def chunks(store: Store, name: str) -> tuple[list[str], FloatArray]:
    """The text of every chunk that counts, rebuilt from what the store keeps; and its vectors, shape (n, 32)."""
    pair = store.pair(name)
    vectors = store.resources.vectors_of(pair)
    keys = vectors.keys(pair.vectors_version)
    rows = newest(keys, store.resources.catalog.ledger.tombstones())
    rows = rows[np.asarray(keys["ordinal"])[rows] >= 0]
    places = keys.take(rows).to_pylist()
    documents = store.get(sorted({place["doc_id"] for place in places}))
    texts = [documents[place["doc_id"]].text[place["start"] : place["end"]] for place in places]
    return texts, vectors.vectors(pair.vectors_version)[rows]


@pytest.mark.parametrize("spec", [TWO, CHUNKED])
def test_what_was_embedded_can_be_embedded_again_exactly(store: Store, spec: str) -> None:
    store.reembed(spec, name="three", index="Flat").wait()
    store.upsert([Document("d1", words(71)), Document("long", f"Überschrift 機械\n\n{words(72)} 🚀 {words(73)}")])
    store.delete(["d2"])
    store.catch_up("three")
    store.compact(purge=True)
    texts, vectors = chunks(store, "three")
    assert len(texts) >= len(TEXTS)
    assert (len(texts) > 3 * len(TEXTS)) == (spec == CHUNKED)
    np.testing.assert_allclose(embedder(spec).embed_documents(texts), vectors, atol=TOLERANCE)


def test_a_vector_whose_text_is_gone_is_neither_certified_nor_passed_off_as_today_s(store: Store) -> None:
    store.upsert([Document("d1", words(71))])
    store.compact(purge=True)
    stale = {hit.id: hit.stale for hit in store.search(QUERIES[0], k=EVERYTHING).hits}
    assert [id_ for id_, old in stale.items() if old] == ["d1"]
    report = store.check("one", sample=EVERY_ROW)
    assert report.certificate
    assert report.certificate.sampled == report.certificate.population == len(TEXTS) - 1
    store.catch_up("one")
    again = store.check("one", sample=EVERY_ROW)
    assert_passes(again)
    assert again.certificate
    assert again.certificate.sampled == len(TEXTS)


def test_a_vector_whose_text_cannot_be_read_fails_the_gate(root: Path, store: Store) -> None:
    for path in (root / "tables/documents.lance/data").iterdir():
        path.unlink()
    report = store.check("two", sample=EVERY_ROW)
    assert report.verdict in ("fail", "unknown")
    assert report.certificate is None or report.certificate.bound == 1.0
    with pytest.raises(CheckRefusedError):
        store.promote("two")
