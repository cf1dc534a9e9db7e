"""A verdict is given only where another model's vectors could have been told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from tests.quality.test_doctor import made_by, texts_of, write
from vecrollback.quality.doctor import Examination, examine
from vecrollback.quality.purity import Arrays, AuditRequest, audit
from vecrollback.records.arrays import FloatArray

_OWN, _OTHER = "hash:96?seed=1", "hash:96?seed=2"
_CODES = [
    "SQ6",
    "PQ24x6",
    "PQ8x6",
    "OPQ8,PQ8x6",
    "PQ24x6,RFlat",
    "PCA32,Flat",
    "RaBitQ",
]


def examined(folder: Path, kind: str, vectors: FloatArray, texts: list[str]) -> Examination:
    index: Any = faiss.index_factory(vectors.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    inner = getattr(index, "base_index", None) or getattr(index, "index", None) or index
    codes = faiss.downcast_index(inner)
    if isinstance(codes, faiss.IndexPQ):
        codes.do_polysemous_training = False  # it only orders the codes, and takes most of the time
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(folder / "index.faiss"))
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(texts)))
    return examine(f"faiss:{folder / 'index.faiss'}", texts=rows, model=_OWN, seed=1)


@pytest.mark.parametrize("kind", _CODES)
def test_an_index_that_another_model_made_never_passes_whatever_its_codes(tmp_path: Path, kind: str) -> None:
    texts = texts_of(400)
    found = examined(tmp_path, kind, made_by(_OTHER, texts), texts)
    assert found.verdict == "fail"


@pytest.mark.parametrize("kind", _CODES)
def test_an_index_of_the_models_own_raises_no_alarm_and_what_cannot_be_told_has_its_reason(
    tmp_path: Path, kind: str
) -> None:
    texts = texts_of(400)
    found = examined(tmp_path, kind, made_by(_OWN, texts), texts)
    if found.verdict == "unknown":
        assert (cannot := found.finding("cannot_tell"))
        assert "must be up to 0.9" in cannot.message
    else:
        assert found.verdict == "pass"
    assert not found.finding("foreign_vector")


@pytest.mark.parametrize("kind", ["PQ24x6", "PCA32,Flat", "RaBitQ"])
def test_the_foreign_vectors_among_codes_are_those_that_are_named(tmp_path: Path, kind: str) -> None:
    texts = texts_of(400)
    vectors = made_by(_OWN, texts)
    foreign = sorted(np.random.default_rng(2).choice(400, 40, replace=False).tolist())
    vectors[foreign] = made_by(_OTHER, [texts[row] for row in foreign])
    found = examined(tmp_path, kind, vectors, texts)
    assert (named := found.finding("foreign_vector"))
    assert found.verdict == "fail"
    assert {int(id_) for id_ in named.ids} <= set(foreign)
    assert len(named.ids) >= 36


def test_codes_too_coarse_to_tell_anything_are_unknown_with_the_reason(tmp_path: Path) -> None:
    texts = texts_of(600)
    found = examined(tmp_path, "PQ1x4", made_by(_OWN, texts), texts)
    assert found.verdict == "unknown"
    assert found.audit
    assert found.audit.power
    assert found.audit.power.lacks
    assert (cannot := found.finding("cannot_tell"))
    assert "too coarse" in cannot.message


def test_a_floor_below_which_another_model_would_stay_unseen_gives_no_verdict() -> None:
    texts = texts_of(300)
    vectors = made_by(_OWN, texts)
    for floor, verdict in ((0.9999, "pass"), (0.5, "unknown")):
        found = audit(
            Arrays(vectors, texts),
            lambda asked: made_by(_OWN, list(asked)),
            request=AuditRequest(bound=0.02, floor=floor, seed=1),
        )
        assert found.verdict == verdict
        assert found.power
        assert bool(found.power.lacks) == (verdict == "unknown")


def test_a_storage_that_codes_alike_vectors_differently_is_not_believed() -> None:
    texts = texts_of(300)
    chance = np.random.default_rng(0)

    def keep(vectors: FloatArray) -> FloatArray:
        return np.asarray(vectors + chance.standard_normal(vectors.shape) * 0.1, np.float32)

    found = audit(
        Arrays(keep(made_by(_OWN, texts)), texts),
        lambda asked: made_by(_OWN, list(asked)),
        request=AuditRequest(bound=0.02, seed=1),
        keep=keep,
    )
    assert found.verdict == "unknown"


def test_whole_numbers_lower_the_floor_by_their_rounding_alone(tmp_path: Path) -> None:
    texts = texts_of(500)
    own, other = made_by(_OWN, texts), made_by(_OTHER, texts)
    for vectors, verdict in ((own, "pass"), (other, "fail")):
        stored = np.rint(vectors / np.abs(own).max() * 127).clip(-127, 127).astype(np.int8)
        rows = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
        found = examine(**write(tmp_path, stored, rows), model=_OWN, seed=1)
        assert found.verdict == verdict
        assert found.audit
        assert found.audit.floor > 0.99


def test_vectors_of_signs_are_told_apart_where_they_are_dense() -> None:
    texts, chance = texts_of(300), np.random.default_rng(0)
    turn = np.linalg.qr(chance.standard_normal((384, 384)))[0].astype(np.float32)
    own, other = (made_by(f"hash:384?seed={seed}", texts) @ turn for seed in (1, 2))
    number = {text: n for n, text in enumerate(texts)}

    def verdict(vectors: FloatArray, low: int) -> str:
        signs = np.where(vectors > 0, 1, low).astype(np.int8)
        request = AuditRequest(bound=0.01, seed=1)
        return audit(Arrays(signs, texts), lambda asked: own[[number[text] for text in asked]], request=request).verdict

    assert (verdict(own, -1), verdict(other, -1)) == ("pass", "fail")
    mixed = own.copy()
    mixed[::50] = other[::50]
    assert verdict(mixed, -1) == "fail"
    assert verdict(own, 0) != "fail"


def test_whole_numbers_with_a_range_for_each_column_are_unknown_with_the_reason(tmp_path: Path) -> None:
    texts = texts_of(400)
    for model in (_OWN, _OTHER):
        vectors = made_by(model, texts)
        low, high = vectors.min(axis=0), vectors.max(axis=0)
        stored = np.clip((vectors - low) / (high - low) * 255 - 128, -128, 127).astype(np.int8)
        rows = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
        found = examine(**write(tmp_path, stored, rows), model=_OWN, seed=1)
        assert found.verdict == "unknown"
        assert (cannot := found.finding("cannot_tell"))
        assert "a range of its own" in cannot.message
