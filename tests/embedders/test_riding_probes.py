"""Probes that ride along blame the model for what is the model's, and a text for what is the text's.

That no vector of another model gets in is law 9, in tests/laws/test_9_model_swapped.py.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from vecrollback.embedders import Embedder, circuit_breaker, open_embedder, riding_probes
from vecrollback.embedders.circuit_breaker import breaker_of
from vecrollback.embedders.pieces import QueryLane
from vecrollback.embedders.probes import PROBES, embed_probes
from vecrollback.embedders.riding_probes import BatchProbes, QueryProbes
from vecrollback.errors import BadQueryError, EmbedderChangedError
from vecrollback.records.arrays import FloatArray

MODEL = open_embedder("hash:64?seed=1")


@dataclass
class Particular:
    """An embedder of a user's own, which raises what it likes over some texts; or over all of them."""

    broken: bool = False
    asked: list[int] = field(default_factory=list)
    metric: str = "cosine"
    spec: str = "tests:particular"

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        self.asked.append(len(texts))
        if self.broken or any("\N{SKULL}" in text for text in texts):
            raise ValueError("out of range")
        return MODEL.embed_queries(list(texts))


def query_probes(model: Any) -> QueryProbes:
    return QueryProbes(model, embed_probes(MODEL), 0.9999)


@pytest.fixture
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(riding_probes, "PROOF_SECONDS", -1.0)


@pytest.mark.usefixtures("due")
def test_a_bad_query_is_told_as_one_also_when_probes_ride_with_it() -> None:
    model = Particular()
    queries = query_probes(model)
    with pytest.raises(BadQueryError, match="cannot embed this query: out of range"):
        queries.embed(["a \N{SKULL}"])
    assert queries.embed(["a boat"]).shape == (1, 64)
    assert model.asked[-1] == 3, "the proof is still due, so the next query carries it"
    assert queries.doubt == ""


@pytest.mark.usefixtures("due")
def test_a_model_that_takes_no_text_is_never_the_querys_fault() -> None:
    with pytest.raises(ValueError, match="out of range"):
        query_probes(Particular(broken=True)).embed(["a boat"])


def test_riders_are_short_telling_and_take_turns() -> None:
    probes = BatchProbes(MODEL, embed_probes(MODEL), 0.9999)
    drawn = [number for _ in range(40) for number in probes.draw(500)]
    assert len(drawn) == 40, "one for each batch of a model in this process"
    assert len(set(drawn)) == 16
    assert probes.tokens(drawn) < 40 * 20
    probes.examine(drawn, MODEL.embed_documents([PROBES[number] for number in drawn]))
    other: Embedder = open_embedder("hash:64?seed=2")
    with pytest.raises(EmbedderChangedError, match="no longer gives"):
        probes.examine(drawn[:1], other.embed_documents([PROBES[drawn[0]]]))
    with pytest.raises(EmbedderChangedError, match="of 32 dimensions, not of 64"):
        probes.examine(drawn[:1], np.ones((1, 32), np.float32))


def test_a_child_waits_for_no_lock_that_a_thread_of_the_parent_held() -> None:
    lane = QueryLane()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lane._changed:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    lane.forked()
    with lane.query():  # would wait for ever
        pass
    done.set()
    thread.join()


def test_a_child_begins_with_breakers_of_its_own() -> None:
    breaker = breaker_of("http://127.0.0.1:1", "m")
    assert breaker_of("http://127.0.0.1:1", "m") is breaker
    circuit_breaker._breakers.forked()
    assert breaker_of("http://127.0.0.1:1", "m") is not breaker
