"""The hashing embedder is deterministic, and similar words give similar vectors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from vecrollback.embedders import open_embedder
from vecrollback.errors import EmbedderSpecError

DOCUMENTS = [
    f"The {a} {n} {v} in {y}."
    for a in ("quiet", "broken", "northern", "expensive")
    for n in ("river", "engine", "parliament", "bakery", "glacier")
    for v in ("changed owners", "was repaired", "refused a treaty")
    for y in (1871, 1903, 1999)
]


def digest(spec: str) -> str:
    return hashlib.sha256(open_embedder(spec).embed_documents(DOCUMENTS).tobytes()).hexdigest()


def test_these_very_bits_on_every_machine() -> None:
    assert digest("hash:96?seed=7") == "0574421c57e08820644f5f2935879412f06d8eebb0f40a3abeddd1c72b85a24d"


@pytest.mark.parametrize("hash_seed", ["0", "123"])
def test_pythons_hash_seed_does_not_matter(hash_seed: str) -> None:
    code = "from tests.embedders.test_hashing import digest; print(digest('hash:96?seed=7'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    assert done.stdout.strip() == digest("hash:96?seed=7")


def test_shared_words_find_their_document() -> None:
    embedder = open_embedder("hash:256")
    queries = ["glacier refused treaty 1903 broken", "expensive bakery repaired 1999"]
    scores = embedder.embed_queries(queries) @ embedder.embed_documents(DOCUMENTS).T
    assert [DOCUMENTS[i] for i in scores.argmax(axis=1)] == [
        "The broken glacier refused a treaty in 1903.",
        "The expensive bakery was repaired in 1999.",
    ]


def test_a_misspelt_word_is_still_near() -> None:
    embedder = open_embedder("hash:512")
    right, wrong, other = embedder.embed_documents(["parliament", "parliment", "chocolate"])
    assert right @ wrong > right @ other + 0.1


def test_two_seeds_are_two_unrelated_models_of_one_dimension() -> None:
    one, two = open_embedder("hash:384?seed=1"), open_embedder("hash:384?seed=2")
    assert one.dimension == two.dimension
    assert one.fingerprint != two.fingerprint
    cosines = (one.embed_documents(DOCUMENTS) * two.embed_documents(DOCUMENTS)).sum(axis=1)
    assert abs(float(cosines.mean())) < 0.1


def test_noise_makes_a_near_relative() -> None:
    plain, noisy = open_embedder("hash:384"), open_embedder("hash:384?noise=0.1")
    cosines = (plain.embed_documents(DOCUMENTS) * noisy.embed_documents(DOCUMENTS)).sum(axis=1)
    np.testing.assert_allclose(cosines, 1 / np.sqrt(1.01), atol=0.03)
    assert plain.fingerprint != noisy.fingerprint


def test_case_does_not_matter_and_order_does() -> None:
    embedder = open_embedder("hash:128")
    upper, lower, swapped = embedder.embed_documents(["DOG BITES MAN", "dog bites man", "man bites dog"])
    np.testing.assert_array_equal(upper, lower)
    assert not np.array_equal(lower, swapped)


def test_texts_without_words_get_a_direction() -> None:
    vectors = open_embedder("hash:64").embed_documents(["", "!!!", "???", "\ud800"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    assert len(np.unique(vectors.round(4), axis=0)) == 4


@pytest.mark.parametrize("dimension", ["", "0", "7", "-3", "abc", "1.5", "65537", "١٦"])
def test_an_impossible_dimension_is_refused(dimension: str) -> None:
    with pytest.raises(EmbedderSpecError, match="dimension"):
        open_embedder(f"hash:{dimension}")


@pytest.mark.parametrize(
    "argument",
    ["seed=1", "noise=0.1", "normalize=false", "metric=dot", "query_prompt=q", "document_prompt=d", "chunk=tokens:9:1"],
)
def test_every_argument_changes_the_fingerprint(argument: str) -> None:
    assert open_embedder(f"hash:64?{argument}").fingerprint != open_embedder("hash:64").fingerprint
