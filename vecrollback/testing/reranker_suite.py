"""What a reranker must promise. Its kind is found as it will be by others: by the entry point of the package."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from vecrollback import Document
from vecrollback.serving.reranking import Reranker, open_reranker
from vecrollback.testing import to_be_defined

_QUERY = "how is green tea made"
_TEXTS = (
    "Green tea is steeped below boiling point.",
    "Dough rises twice before it is baked.",
    "Ein Text mit Umlauten: Überfälle, Öl, ß; 茶を淹れる; \N{HOT BEVERAGE}",
    "word " * 3_000,
    "x",
)


class RerankerConformance:
    """What every reranker promises. A subclass says with `spec` which one, as `search(..., reranker=)` takes it.

    Example:
        A whole adopter, of a reranker that is found through its entry point `mine`::

            import pytest
            from vecrollback.testing import RerankerConformance

            class TestMine(RerankerConformance):
                @pytest.fixture
                def spec(self) -> str:
                    return "mine:small"
    """

    @pytest.fixture
    def spec(self) -> str:
        to_be_defined(RerankerConformance, "spec")

    @pytest.fixture
    def reranker(self, spec: str) -> Reranker:
        return open_reranker(spec)

    def test_there_is_a_finite_score_for_each_text(self, reranker: Reranker) -> None:
        assert isinstance(reranker, Reranker)
        scores = reranker.scores(_QUERY, _TEXTS)
        assert scores.shape == (len(_TEXTS),)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert reranker.scores(_QUERY, _TEXTS[:1]).shape == (1,)

    def test_a_score_is_the_same_whatever_stands_beside_the_text(self, reranker: Reranker) -> None:
        scores = reranker.scores(_QUERY, _TEXTS)
        assert reranker.scores(_QUERY, _TEXTS[::-1])[::-1] == pytest.approx(scores, abs=1e-4)
        assert [float(reranker.scores(_QUERY, [text])[0]) for text in _TEXTS] == pytest.approx(scores, abs=1e-4)

    def test_the_fingerprint_stays(self, reranker: Reranker, spec: str) -> None:
        assert reranker.fingerprint == open_reranker(spec).fingerprint
        assert reranker.fingerprint.strip()

    def test_several_threads_get_what_one_gets(self, reranker: Reranker) -> None:
        expected, answers = reranker.scores(_QUERY, _TEXTS), list[object]()
        threads = [
            threading.Thread(target=lambda: answers.append(reranker.scores(_QUERY, _TEXTS).tolist())) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 4
        assert all(one == pytest.approx(expected, abs=1e-4) for one in answers)

    def test_it_orders_what_a_search_finds(self, reranker: Reranker, spec: str, tmp_path: Path) -> None:
        with vecrollback.connect(tmp_path / "store", create=True, embedder="hash:64") as store:
            store.upsert([Document(str(number), text) for number, text in enumerate(_TEXTS)], visible=True)
            result = store.search(_QUERY, 3, reranker=spec)
        scores = reranker.scores(_QUERY, [hit.text for hit in result.hits])
        assert [hit.score for hit in result.hits] == pytest.approx(scores, abs=1e-4)
        assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
        assert max(reranker.scores(_QUERY, _TEXTS)) == pytest.approx(result.hits[0].score, abs=1e-4)
        assert result.reranker == reranker.fingerprint
