"""A model is waited for only so long, and once it has failed nobody waits for it until it answers again."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from vecrollback.errors import BadQueryError, EmbeddingError, ServiceDownError
from vecrollback.records.arrays import FloatArray
from vecrollback.serving import patient_model
from vecrollback.serving.patient_model import PatientModel


class Model:
    """Behind a service: `silent` hangs, `broken` raises."""

    remote, doubt = True, ""

    def __init__(self) -> None:
        self.silent, self.broken = threading.Event(), False
        self.silent.set()
        self.calls = 0

    def embed(self, texts: list[str]) -> FloatArray:
        self.calls += 1
        self.silent.wait()
        if self.broken:
            raise EmbeddingError("broken")
        if "bad" in texts:
            raise BadQueryError("a bad query")
        return np.ones((len(texts), 4), np.float32)

    embed_proven = embed


def test_a_silent_model_costs_one_query_its_patience_and_the_next_ones_nothing() -> None:
    model = Model()
    patient = PatientModel(model)
    assert patient.embed(["a"], 0.2).shape == (1, 4)
    model.silent.clear()
    with pytest.raises(ServiceDownError, match=r"did not answer in 0\.2 s"):
        patient.embed(["a"], 0.2)
    asked = model.calls
    start = time.monotonic()
    for _ in range(50):
        with pytest.raises(ServiceDownError):
            patient.embed(["a"], 10)
    assert time.monotonic() - start < 5  # not one of them waited its ten seconds
    assert model.calls == asked
    model.silent.set()
    patient.close()


def test_a_model_that_is_back_is_found_by_a_try_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    patient = PatientModel(model)
    model.broken = True
    with pytest.raises(EmbeddingError, match="broken"):
        patient.embed(["a"], 1)
    model.broken = False
    monkeypatch.setattr(patient_model, "_TRY_SECONDS", 0.0)
    patient._next_try = 0.0
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert patient.embed(["a"], 1).shape == (1, 4)
            break
        except EmbeddingError:
            time.sleep(0.01)
    else:
        pytest.fail("it never answered again")
    patient.close()


def test_a_query_that_no_model_takes_does_not_make_the_model_a_broken_one() -> None:
    patient = PatientModel(Model())
    with pytest.raises(BadQueryError):
        patient.embed(["bad"], 1)
    assert patient.embed(["a"], 1).shape == (1, 4)
    patient.close()
