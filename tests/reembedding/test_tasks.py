"""A batch costs what any other costs: many short texts or few long ones, the same vectors whatever it holds.

Covers embedders.batching, embedders.peak_throughput.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrollback.embedders import peak_throughput, sentence_transformers
from vecrollback.embedders.batching import batches
from vecrollback.embedders.peak_throughput import Workload, matmul_rate, work_of
from vecrollback.reembedding.dispatch import TaskSizes

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=200)


@given(LENGTHS, st.integers(1, 4_096), st.none() | st.integers(1, 64))
def test_every_text_is_in_one_batch_and_none_is_larger_than_it_may_be(
    lengths: list[int], tokens: int, most: int | None
) -> None:
    made = batches(lengths, tokens, most)
    assert sorted(place for batch in made for place in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= tokens
        assert most is None or len(batch) <= most


@given(LENGTHS, st.integers(1, 4_096))
def test_texts_of_like_length_stand_together_the_longest_first(lengths: list[int], tokens: int) -> None:
    order = [lengths[place] for batch in batches(lengths, tokens) for place in batch]
    assert order == sorted(lengths, reverse=True)


@given(LENGTHS, st.integers(512, 4_096))
def test_a_batch_is_closed_only_when_the_next_text_would_not_fit(lengths: list[int], tokens: int) -> None:
    made = batches(lengths, tokens)
    for batch in made[:-1]:
        assert (len(batch) + 1) * lengths[batch[0]] > tokens


def test_vectors_do_not_depend_on_the_batches(tiny_model: Any) -> None:
    texts = [f"note {n} on boats. " * (1 + n % 17) for n in range(60)]
    plain = tiny_model("")
    alone = np.concatenate([plain.embed_documents([text]) for text in texts])
    for model in (plain, tiny_model("?batch_size=7"), tiny_model("?batch_size=64")):
        assert np.einsum("ij,ij->i", model.embed_documents(texts), alone).min() > 1 - 1e-6
    queries = plain.embed_queries(texts)
    assert np.einsum("ij,ij->i", queries, alone).min() > 1 - 1e-6


def test_the_library_gives_the_same_vectors(tiny_model: Any) -> None:
    from sentence_transformers import SentenceTransformer

    texts = [f"note {n} on boats. " * (1 + n % 17) for n in range(60)]
    model = tiny_model("?document_prompt=p%3A+&truncate_dim=24")
    raw = SentenceTransformer(model.spec.partition("?")[0], truncate_dim=24).encode(texts, prompt="p: ")
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", model.embed_documents(texts), raw).min() > 1 - 1e-6


def test_the_next_batch_is_tokenised_while_the_model_computes(tiny_model: Any) -> None:
    embedder = tiny_model("?batch_size=4")
    embedder.embed_documents(["loads the model"])
    model = embedder._model
    tokenised = [threading.Event() for _ in range(3)]
    seen: list[bool] = []
    real, count = model.preprocess, iter(tokenised)

    def preprocess(*arguments: Any, **more: Any) -> Any:
        features = real(*arguments, **more)
        next(count).set()
        return features

    def computing(*_: Any) -> None:
        following = len(seen) + 1
        seen.append(following == len(tokenised) or tokenised[following].wait(timeout=20))

    model.preprocess = preprocess
    hook = model[0].register_forward_pre_hook(computing)
    try:
        embedder.embed_documents([f"text {n}" for n in range(12)])
    finally:
        hook.remove()
        del model.preprocess
    assert seen == [True, True, True]


# -- units ------------------------------------------------------------------------------------------------------------


def cut(lengths: list[int], workers: int) -> list[int]:
    """Characters of the units that texts of these lengths are cut into."""
    sizing, made, first, left = TaskSizes(), [], 0, sum(lengths)
    while first < len(lengths):
        count = sizing.first(lengths[first:], left / workers)
        made.append(sum(lengths[first : first + count]))
        first, left = first + count, left - made[-1]
    return made


def test_every_worker_gets_a_part_and_none_is_busy_long_after_the_others() -> None:
    for workers in (2, 4):
        made = cut([500] * 240, workers)
        assert made[0] <= 120_000 / workers
        assert made == sorted(made, reverse=True), "ever smaller"
        assert made[-1] <= 16 << 10
    assert cut([500] * 240, 1) == [120_000], "nobody waits for a worker that is alone"


def test_no_text_is_too_long_for_a_unit() -> None:
    assert cut([10, 10, 50_000_000], 4) == [20, 50_000_000]


# -- the ceiling ------------------------------------------------------------------------------------------------------


def test_the_work_of_a_transformer_is_that_of_its_layers(tiny_model: Any) -> None:
    embedder = tiny_model("")
    embedder.embed_documents(["a"])
    width, inner, layers = 48, 96, 2
    assert work_of(embedder._model[0].auto_model) == Workload(
        layers * (4 * width**2 + 2 * width * inner), width, layers
    )
    one = Workload(weights=100, width=8, layers=2)
    assert one.operations(tokens=10, squares=60) == 2 * 100 * 10 + 4 * 8 * 2 * 60


def test_ideal_seconds_are_those_of_the_chunks_embedded_last(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_throughput, "_rates", {})
    embedder = tiny_model("")
    texts = ["a short one", "a text that is longer than the other one by some words"]
    assert embedder.ideal_seconds(texts) is None, "nobody measures over texts that were not embedded"
    embedder.embed_documents(texts)
    assert embedder.ideal_seconds(texts) is None, "nor for half a second over a few words"
    monkeypatch.setattr(sentence_transformers, "_WORTH_TIMING", 1)
    lengths = embedder._hf_tokenizer.lengths(texts, "", None)
    work = work_of(embedder._model[0].auto_model)
    wanted = work.operations(sum(lengths), sum(n * n for n in lengths))
    seconds = embedder.ideal_seconds(texts)
    [rate] = peak_throughput._rates.values()
    assert seconds == pytest.approx(wanted / rate)


def test_a_rate_is_measured_once_and_another_runtime_has_its_part_of_it() -> None:
    import torch

    rate = matmul_rate("cpu", torch.float32)
    assert rate and rate > 1e8
    assert matmul_rate("cpu", torch.float32) == rate
    own = torch.get_num_threads()
    assert matmul_rate("cpu", torch.float32, 2 * own) == pytest.approx(2 * rate)
