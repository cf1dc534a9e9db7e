"""What every embedder promises."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from vecrollback.embedders import Embedder, Traits, fingerprint_of, open_embedder
from vecrollback.embedders.probes import embed_probes, verify_probes
from vecrollback.testing import to_be_defined

TEXTS = (
    "The river changed its course after the flood.",
    "a",
    ".",
    "Der Zug fährt heute später ab, 🚆 leider.",
    "机器学习模型的回滚",
    "def f(x):\n    return x + 1",
    "The harbour master counted seventeen ships before the fog closed in. " * 12,
)


class EmbedderConformance:
    """What every embedder promises. A subclass gives the fixture `spec`, the string that opens the embedder.

    Opening may be slow: then give the fixture `embedder` instead, which opens it once.

    Attributes:
        tolerance: How far a number of a vector may be from itself at another batch size; 0 for one that is exact.

    Example:
        A whole adopter, of an embedder that is found through its entry point `mine`::

            import pytest
            from vecrollback.testing import EmbedderConformance

            class TestMine(EmbedderConformance):
                tolerance = 1e-4

                @pytest.fixture(params=["mine:small", "mine:small?chunk=semantic:200"])
                def spec(self, request: pytest.FixtureRequest) -> str:
                    return request.param
    """

    tolerance = 1e-5

    @pytest.fixture
    def spec(self) -> str:
        to_be_defined(type(self), "spec")

    @pytest.fixture
    def embedder(self, spec: str) -> Embedder:
        return open_embedder(spec)

    def test_vectors_have_the_promised_shape_and_are_finite(self, embedder: Embedder) -> None:
        for embed in (embedder.embed_documents, embedder.embed_queries):
            vectors = embed(TEXTS)
            assert vectors.shape == (len(TEXTS), embedder.dimension)
            assert vectors.dtype == np.float32
            assert np.isfinite(vectors).all()

    def test_cosine_means_unit_length(self, embedder: Embedder) -> None:
        if embedder.metric == "cosine":
            np.testing.assert_allclose(np.linalg.norm(embedder.embed_documents(TEXTS), axis=1), 1.0, atol=1e-5)

    def test_no_texts_give_no_rows(self, embedder: Embedder) -> None:
        assert embedder.embed_documents([]).shape == (0, embedder.dimension)
        assert embedder.count_tokens([]) == 0

    def test_batch_composition_does_not_change_vectors(self, embedder: Embedder) -> None:
        together = embedder.embed_documents(TEXTS)
        alone = np.concatenate([embedder.embed_documents([text]) for text in TEXTS])
        backwards = embedder.embed_documents(TEXTS[::-1])[::-1]
        np.testing.assert_allclose(alone, together, atol=self.tolerance)
        np.testing.assert_allclose(backwards, together, atol=self.tolerance)

    def test_changing_the_returned_array_changes_nothing_later(self, embedder: Embedder) -> None:
        first = embedder.embed_documents(TEXTS)
        kept = first.copy()
        first[:] = 0
        np.testing.assert_allclose(embedder.embed_documents(TEXTS), kept, atol=self.tolerance)

    def test_fingerprint_is_the_digest_of_the_contract(self, embedder: Embedder) -> None:
        assert embedder.fingerprint == fingerprint_of(embedder.contract)
        assert len(embedder.fingerprint) == 32

    def test_it_says_how_it_may_be_used(self, embedder: Embedder) -> None:
        traits = embedder.traits
        assert isinstance(traits, Traits)
        assert 0.9 < traits.probe_floor < 1
        assert traits.price is None or traits.priced
        if not traits.tokens_estimated:
            before = embedder.count_tokens(TEXTS)
            embedder.embed_documents(TEXTS)
            assert embedder.count_tokens(TEXTS) == before

    def test_its_probes_agree_with_themselves_by_its_own_floor(self, embedder: Embedder) -> None:
        recorded = embed_probes(embedder)
        embedder.close()
        assert verify_probes(embedder, recorded, embedder.traits.probe_floor).agrees

    def test_its_own_spec_opens_the_same_embedder(self, embedder: Embedder) -> None:
        again = open_embedder(embedder.spec)
        assert again.spec == embedder.spec
        assert again.fingerprint == embedder.fingerprint
        np.testing.assert_allclose(again.embed_documents(TEXTS), embedder.embed_documents(TEXTS), atol=self.tolerance)

    def test_blank_text_has_no_chunks_and_others_are_covered(self, embedder: Embedder) -> None:
        assert embedder.chunk("") == embedder.chunk(" \n\t ") == []
        for text in TEXTS:
            spans = embedder.chunk(text)
            assert spans == embedder.chunk(text)
            assert all(0 <= start < end <= len(text) for start, end in spans)

    def test_threads_get_the_same_vectors(self, embedder: Embedder) -> None:
        expected = embedder.embed_documents(TEXTS)
        found: list[np.ndarray] = []

        def work(embed: Callable[..., np.ndarray]) -> None:
            found.append(embed(TEXTS))

        threads = [threading.Thread(target=work, args=(embedder.embed_documents,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        for vectors in found:
            np.testing.assert_allclose(vectors, expected, atol=self.tolerance)

    def test_tokens_are_counted_alike_before_and_after_embedding(self, embedder: Embedder) -> None:
        assert embedder.count_tokens(TEXTS) > 0
        embedder.embed_documents(TEXTS)
        assert embedder.count_tokens(TEXTS) > 0

    def test_works_again_after_close(self, embedder: Embedder) -> None:
        before = embedder.embed_documents(TEXTS[:2])
        embedder.close()
        embedder.close()
        np.testing.assert_allclose(embedder.embed_documents(TEXTS[:2]), before, atol=self.tolerance)
