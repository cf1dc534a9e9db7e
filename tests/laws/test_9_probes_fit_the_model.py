"""Law 9 for every family of models: a probe text that a model does not take refuses no model, and proves nothing.

The others prove as much as ever: another model is told apart by them, and nothing it made is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.openai_server import Fault, OpenAIServer, error
from vecrollback import Document
from vecrollback.embedders import open_embedder
from vecrollback.embedders.probes import LEAST_USABLE, PROBES, QUERIES, compare_probes, embed_probes, verify_probes
from vecrollback.errors import EmbedderChangedError, EmbeddingError

TEXTS = {f"d{n}": f"the boat number {n} leaves the harbour at {n % 24} o'clock" for n in range(40)}
LIMIT = 512

WORDS_ONLY = """
import re
import numpy as np
from vecrollback.embedders import open_embedder

SEED, LEAST, CALLS = 1, 1, []

def embed(texts):
    '''Vectors of words: of a text without plain English words there is none.'''
    CALLS.append(list(texts))
    rows = open_embedder(f"hash:64?seed={SEED}").embed_documents(texts)
    rows[[len(re.findall(r"[a-z]{3,}", text)) < LEAST for text in texts]] = 0
    return rows

def broken(texts):
    CALLS.append(list(texts))
    raise RuntimeError("no model today")
"""


def strict(texts: list[str]) -> Fault | None:
    """As vLLM or TEI without truncation: the whole request is refused."""
    longest = max(len(text.split()) for text in texts)
    words = f"`inputs` must have less than {LIMIT} tokens. Given: {longest}"
    return error(413, words) if longest >= LIMIT else None


@pytest.fixture
def service() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.refusal = strict
        yield server


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A module with a model that has no vector for some texts."""
    (tmp_path / "words_only.py").write_text(WORDS_ONLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("words_only", None)
    import words_only  # type: ignore[import-not-found]

    yield words_only
    sys.modules.pop("words_only", None)


def usable(rows: np.ndarray) -> set[int]:
    return set(np.flatnonzero(rows.any(axis=1)).tolist())


def test_a_service_that_refuses_long_texts_serves_and_is_still_proven(
    tmp_path: Path, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if each process began a minute after the one before: none relies on another's proof.
    monkeypatch.setattr("vecrollback.pairs.embedders._START_SECONDS", 0.0)
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        store.promote(store.reembed(service.spec(), name="v1").wait())
        assert store.check("v1").verdict == "pass"
        short = {n for n, text in enumerate(PROBES) if len(text.split()) < LIMIT}
        recorded = store.resources.embedders.probes(store.pair("v1"))
        assert usable(recorded) == short | {len(PROBES) + n for n in range(QUERIES)}
        assert recorded.shape == (80, 64)
        assert len(short) < len(PROBES), "some are too long for it"
        assert store.search("boat number 3").hits
    service.requests.clear()
    with vecrollback.connect(tmp_path / "store") as store:
        assert store.search("boat number 3").doubt == ""
        assert max(len(t.split()) for r in service.requests for t in r["input"]) < LIMIT, "none is tried in vain"
    service.model = open_embedder("hash:64?seed=6")
    with vecrollback.connect(tmp_path / "store") as store, pytest.raises(EmbedderChangedError):
        store.search("boat number 3")


def test_a_model_without_a_vector_for_some_texts_serves_and_is_still_proven(tmp_path: Path, words: object) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        store.promote(store.reembed("words_only:embed", name="v1").wait())
        assert store.check("v1").verdict == "pass"
        recorded = usable(store.resources.embedders.probes(store.pair("v1")))
        assert PROBES.index(".") not in recorded
        assert LEAST_USABLE <= len(recorded) < len(PROBES) + QUERIES
        assert [hit.id for hit in store.search(TEXTS["d3"], k=1).hits] == ["d3"]
        assert store.catch_up("v1") is not None
    words.SEED = 2  # type: ignore[attr-defined]
    with vecrollback.connect(tmp_path / "store") as store, pytest.raises(EmbedderChangedError):
        store.search("boat number 3")


def test_a_model_that_takes_fewer_than_sixteen_probes_is_refused_with_the_count(words: object) -> None:
    words.LEAST = 60  # type: ignore[attr-defined]
    taken = sum(len([w for w in text.split() if len(w) > 2]) >= 60 for text in PROBES)
    assert 0 < taken < LEAST_USABLE
    with pytest.raises(EmbeddingError, match=rf"of {len(PROBES)} probe texts; {LEAST_USABLE} are needed|length zero"):
        embed_probes(open_embedder("words_only:embed"))


def test_a_broken_model_is_refused_with_its_own_words_after_few_calls(words: object) -> None:
    with pytest.raises(EmbeddingError, match="no model today"):
        embed_probes(open_embedder("words_only:broken"))
    assert len(words.CALLS) < 12  # type: ignore[attr-defined]


def test_probes_that_are_refused_today_but_were_not_then_are_a_change(service: OpenAIServer) -> None:
    embedder = open_embedder(service.spec(dimensions=64))
    service.refusal = lambda texts: None
    recorded = embed_probes(embedder)
    service.refusal = strict
    with pytest.raises(EmbedderChangedError, match=r"cosine 0\.000000"):
        verify_probes(embedder, recorded)


def test_what_was_not_usable_is_not_compared_and_all_zeros_never_agree() -> None:
    rows = embed_probes(open_embedder("hash:32"))
    some = rows.copy()
    some[5] = 0
    assert compare_probes(some, rows).agrees
    assert compare_probes(some, -rows).worst_cosine == pytest.approx(-1)
    few = np.zeros_like(rows)
    few[: LEAST_USABLE - 1] = rows[: LEAST_USABLE - 1]
    with pytest.raises(vecrollback.VecrollbackError, match="15 usable"):
        compare_probes(few, rows)


def test_a_service_with_a_limit_per_request_gets_the_probes_in_parts(service: OpenAIServer) -> None:
    service.refusal = lambda texts: (
        error(422, f"batch size {len(texts)} > maximum allowed batch size 8") if (len(texts) > 8) else None
    )
    rows = embed_probes(open_embedder(service.spec(dimensions=64, batch_size=8)))
    assert rows.any(axis=1).all()
    assert max(len(request["input"]) for request in service.requests) == 8
