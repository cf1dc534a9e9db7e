"""Adopting an index: what is proven is kept, everything else is embedded, and the store's own laws hold.

Covers reembedding.adopt, corpus.sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.quality.test_doctor import OTHER, OWN, made_by, plain, texts_of, write
from tests.support.operations import start
from vecrollback import AdoptResult, Document, Store, connect
from vecrollback.errors import (
    BadDocumentError,
    CheckRefusedError,
    FingerprintMismatchError,
    RefusedError,
    UsageError,
)

_COUNT, _FOREIGN = 600, (7, 150, 151, 599)
_CUT_OFF = """
import sys
from vecrollback import connect
with connect(sys.argv[1]) as store:
    store.adopt(sys.argv[2], texts=sys.argv[3], model=sys.argv[4], name="v1", seed=1)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with connect(tmp_path / "store", create=True, actor="tester") as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> tuple[str, Path]:
    """600 rows, four of another model, one NaN, one of length zero."""
    texts = texts_of(_COUNT)
    vectors = made_by(OWN, texts)
    vectors[list(_FOREIGN)] = made_by(OTHER, [texts[row] for row in _FOREIGN])
    vectors[20, 3], vectors[21] = np.nan, 0
    made = write(tmp_path, vectors, [row | {"n": n} for n, row in enumerate(plain(texts))])
    return made["place"], made["texts"]


def test_only_what_is_not_proven_is_embedded(store: Store, source: tuple[str, Path]) -> None:
    done = store.adopt(source[0], texts=source[1], model=OWN, name="v1", seed=1)
    assert (done.documents, done.known, done.left_out) == (_COUNT, 0, 0)
    assert (done.reused, done.embedded) == (_COUNT - 6, 6)
    assert (done.foreign, done.damaged, done.split) == (4, 2, 0)
    assert done.report
    assert done.report.verdict == "pass"
    assert store.pair("v1").state == "ready"
    assert source[0] in store.pair("v1").state_reason
    [snapshot] = store.snapshots("v1")
    assert snapshot.chunks == _COUNT


def test_the_pair_answers_as_if_it_had_been_embedded_here(store: Store, source: tuple[str, Path]) -> None:
    store.adopt(source[0], texts=source[1], model=OWN, name="adopted", seed=1)
    built = store.reembed("hash:64?seed=1&noise=0", name="built").wait()
    assert store.check("adopted", sample=_COUNT).verdict == "pass"
    for query in texts_of(_COUNT)[:20]:
        ours, theirs = (store.inspection.search(pair, query, 5) for pair in ("adopted", built.name))
        assert [hit.id for hit in ours.hits] == [hit.id for hit in theirs.hits]
        assert ours.hits[0].metadata["batch"] == theirs.hits[0].metadata["batch"]


def test_texts_that_the_model_takes_apart_are_embedded(store: Store, source: tuple[str, Path]) -> None:
    model = f"{OWN}&chunk=tokens:8:2"
    done = store.adopt(source[0], texts=source[1], model=model, name="v1", seed=1)
    assert done.split == _COUNT - done.foreign - done.damaged
    assert (done.reused, done.embedded) == (0, _COUNT)
    assert done.report
    assert done.report.verdict == "pass"


def test_what_was_deleted_or_changed_here_stays_so(store: Store, source: tuple[str, Path]) -> None:
    store.upsert([Document("d1", "what this store says"), Document("d2", "soon gone")])
    store.delete(["d2"])
    done = store.adopt(source[0], texts=source[1], model=OWN, name="v1", seed=1)
    assert done.known == 2
    assert store.get(["d1", "d2"]) == {"d1": Document("d1", "what this store says")}
    assert done.report
    assert done.report.verdict == "pass"
    assert store.snapshots("v1")[-1].chunks == _COUNT - 1


def test_adopting_again_changes_nothing(store: Store, source: tuple[str, Path]) -> None:
    first = store.adopt(source[0], texts=source[1], model=OWN, name="v1", seed=1)
    head = store.status()["corpus"]["head"]
    again = store.adopt(source[0], texts=source[1], model=OWN, name="v1", seed=1)
    assert (again.documents, again.known, again.reused, again.embedded) == (first.documents, _COUNT, 0, 0)
    assert store.status()["corpus"]["head"] == head


@pytest.mark.parametrize("fault", ["adopt.documents_written", "vectors.appended", "snapshot.registered"])
def test_an_adoption_that_died_goes_on(store: Store, source: tuple[str, Path], fault: str) -> None:
    process = start(str(store.root), *map(str, source), OWN, code=_CUT_OFF, VECROLLBACK_FAULT=fault)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == -9, errors
    done = store.adopt(source[0], texts=source[1], model=OWN, name="v1", seed=1)
    assert done.report
    assert done.report.verdict == "pass"
    assert store.pair("v1").state == "ready"
    assert store.snapshots("v1")[-1].chunks == _COUNT
    assert not (store.root / "artifacts" / ".adopt").exists()


# -- refusals, after which the store is as it was ---------------------------------------------------------------------


def untouched(store: Store) -> bool:
    return not store.pairs() and store.status()["corpus"]["head"] == 0


def test_the_wrong_model_is_refused(store: Store, source: tuple[str, Path]) -> None:
    with pytest.raises(FingerprintMismatchError, match="did not make the vectors"):
        store.adopt(source[0], texts=source[1], model=OTHER)
    assert untouched(store)


def test_a_proof_that_the_budget_does_not_pay_for_is_refused(store: Store, source: tuple[str, Path]) -> None:
    with pytest.raises(CheckRefusedError, match="may be foreign") as refused:
        store.adopt(source[0], texts=source[1], model=OWN, budget="50", seed=1)
    assert "--budget" in refused.value.hint
    assert untouched(store)


def test_vectors_too_coarse_to_stand_for_the_models_own_are_refused(store: Store, tmp_path: Path) -> None:
    import faiss

    texts = texts_of(_COUNT)
    vectors = made_by(OWN, texts)
    index = faiss.index_factory(64, "PCA40,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    beside = write(tmp_path, vectors, plain(texts))["texts"]
    with pytest.raises(CheckRefusedError, match="too coarse"):
        store.adopt(f"faiss:{tmp_path / 'index.faiss'}", texts=beside, model=OWN, seed=1)
    assert untouched(store)


def test_scaled_vectors_are_refused_where_lengths_count(store: Store, tmp_path: Path) -> None:
    texts = texts_of(_COUNT)
    made = write(tmp_path, made_by(OWN, texts), plain(texts))
    with pytest.raises(FingerprintMismatchError, match="other lengths"):
        store.adopt(made["place"], texts=made["texts"], model=f"{OWN}&normalize=false", seed=1)
    assert untouched(store)


def test_an_id_given_twice_is_refused_and_named(store: Store, tmp_path: Path) -> None:
    texts = texts_of(_COUNT)
    rows = plain(texts)
    rows[9]["id"] = "d8"
    made = write(tmp_path, made_by(OWN, texts), rows)
    with pytest.raises(BadDocumentError, match="share their id with another: d8") as refused:
        store.adopt(made["place"], texts=made["texts"], model=OWN, seed=1)
    assert "--id-field" in refused.value.hint
    assert untouched(store)


def test_an_option_that_adopt_does_not_have_is_refused_before_anything_is_read(
    store: Store, source: tuple[str, Path]
) -> None:
    for place in (source[0], "nowhere.npy"):
        for name in ("id_field", "in_palce", "nonsense"):
            with pytest.raises(UsageError, match=f"adopt has no option '{name}'") as refused:
                store.adopt(place, texts=source[1], model=OWN, **{name: "x"})  # type: ignore[arg-type]
            assert "in_place" in refused.value.hint and "fields" in refused.value.hint
    assert untouched(store)


def test_rows_without_ids_are_refused(store: Store, tmp_path: Path) -> None:
    texts = texts_of(10)
    made = write(tmp_path, made_by(OWN, texts), [{"text": text} for text in texts])
    with pytest.raises(UsageError, match="has no ids"):
        store.adopt(made["place"], texts=made["texts"], model=OWN)


def test_a_row_that_is_no_document_is_refused_or_left_out(store: Store, tmp_path: Path) -> None:
    texts = texts_of(_COUNT)
    rows = plain(texts)
    del rows[4]["text"]
    made = write(tmp_path, made_by(OWN, texts), rows)
    with pytest.raises(BadDocumentError, match="row 4: document 'd4'") as refused:
        store.adopt(made["place"], texts=made["texts"], model=OWN, name="v1", seed=1)
    assert "--skip-bad" in refused.value.hint
    done = store.adopt(made["place"], texts=made["texts"], model=OWN, name="v1", skip_bad=True, seed=1)
    assert (done.documents, done.left_out, done.embedded) == (_COUNT - 1, 1, 0)
    assert done.report
    assert done.report.verdict == "pass"


def sync(store: Store, folder: Path, texts: dict[str, str], **options: Any) -> AdoptResult:
    """Adopt a source that holds these texts now, by id, whatever it held before."""
    rows = [{"id": id_, "text": text} for id_, text in texts.items()]
    made = write(folder, made_by(OWN, list(texts.values())), rows)
    return store.adopt(made["place"], texts=made["texts"], model=OWN, name="v1", seed=1, **options)


def test_adopting_again_takes_what_the_source_changed_added_and_lost(store: Store, tmp_path: Path) -> None:
    texts = {f"row{n}": text for n, text in enumerate(texts_of(300))}
    sync(store, tmp_path, texts)
    store.promote("v1", reason="moved in")
    store.upsert([Document("row1", "written here"), Document("own", "never in the source")])
    store.delete(["row2", "row3"])
    texts |= {"row1": "changed there too", "row2": "changed there, deleted here", "row4": "changed there alone"}
    texts["fresh"] = "new there"
    for gone in ("row5", "row6"):
        del texts[gone]
    done = sync(store, tmp_path, texts)
    assert (done.known, done.changed, done.gone, done.left) == (298, 1, 2, 3)
    assert (done.reused, done.embedded) == (2, 2)  # what was written here has no vector there
    expected = {key: text for key, text in texts.items() if key not in ("row2", "row3")}
    expected |= {"row1": "written here", "own": "never in the source"}
    assert {one.id: one.text for one in store.documents()} == expected
    assert store.search("changed there alone", k=1).hits[0].id == "row4"
    assert store.check("v1", sample=300).verdict == "pass"
    again = sync(store, tmp_path, texts)
    assert (again.known, again.changed, again.gone, again.left, again.embedded) == (299, 0, 0, 3, 0)


def test_what_the_source_lost_for_a_while_comes_back_and_what_was_deleted_here_does_not(
    store: Store, tmp_path: Path
) -> None:
    texts = {f"row{n}": text for n, text in enumerate(texts_of(300))}
    sync(store, tmp_path, texts)
    without = {key: text for key, text in texts.items() if key not in ("row7", "row8")}
    assert sync(store, tmp_path, without).gone == 2
    store.delete(["row8"])  # it is gone already; now it is to be gone for good
    done = sync(store, tmp_path, texts)
    assert store.get(["row7", "row8"]).keys() == {"row7"}
    assert (done.left, done.embedded) == (1, 0)


def test_a_source_that_lost_most_is_refused_and_nothing_is_deleted(store: Store, tmp_path: Path) -> None:
    texts = {f"row{n}": text for n, text in enumerate(texts_of(300))}
    sync(store, tmp_path, texts)
    few = dict(list(texts.items())[:120])
    with pytest.raises(RefusedError, match="lack 180 of 300 documents"):
        sync(store, tmp_path, few)
    assert store.count() == 300
    assert sync(store, tmp_path, few, override=True).gone == 180
    assert store.count() == 120
