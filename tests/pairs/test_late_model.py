"""A model that is gone fails at once between two tries, and answers as soon as it is back."""

from __future__ import annotations

import pytest

from vecrollback.embedders import open_embedder
from vecrollback.embedders.riding_probes import QueryProbes
from vecrollback.errors import EmbeddingError
from vecrollback.pairs import late_model
from vecrollback.pairs.late_model import LateModel


def test_a_late_model_answers_once_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    back = False

    def open_model() -> QueryProbes:
        tries.append(1)
        if not back:
            raise EmbeddingError("still gone")
        return QueryProbes(open_embedder("hash:16"), None, 0.99)

    model = LateModel(open_model, EmbeddingError("gone"))
    assert model.remote
    with pytest.raises(EmbeddingError, match=r"^gone"):
        model.embed(["a query"])
    assert not tries  # the first try was a moment ago
    monkeypatch.setattr(late_model, "_TRY_SECONDS", 0.0)
    model = LateModel(open_model, EmbeddingError("gone"))
    with pytest.raises(EmbeddingError, match="still gone"):
        model.embed(["a query"])
    back = True
    assert model.embed(["a query"]).shape == (1, 16)
    assert model.embed_proven(["a query"]).shape == (1, 16)
    assert (model.remote, model.doubt, len(tries)) == (False, "", 2)
