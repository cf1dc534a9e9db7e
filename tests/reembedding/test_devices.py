"""Where there are several accelerators, each worker process has one of them to itself."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from vecrollback.embedders import open_embedder
from vecrollback.reembedding.engines import EmbeddedUnit, EmbedderRecipe, Unit, local
from vecrollback.reembedding.engines.local import VISIBLE, Local, devices_for, named

SEEING = "tests.support.models:seeing"


@pytest.mark.parametrize(
    ("count", "listed", "wanted"),
    [
        (0, None, ()),
        (1, None, ()),
        (4, None, ("0", "1", "2", "3")),
        (2, "3,5", ("3", "5")),
        (2, " GPU-1f , GPU-2e ", ("GPU-1f", "GPU-2e")),
        (1, "3", ()),
        (2, "", ("0", "1")),
    ],
)
def test_workers_get_the_devices_that_their_driver_sees(
    count: int, listed: str | None, wanted: tuple[str, ...]
) -> None:
    assert named(count, {} if listed is None else {VISIBLE: listed}) == wanted


def opened(count: int, given: tuple[str, ...]) -> Local:
    return Local(EmbedderRecipe(SEEING, frozenset({open_embedder(SEEING).fingerprint})), count, given)


def seen(engine: Local, units: int) -> set[int]:
    """What the workers read, each once: all are busy at the same time."""
    for number in range(units):
        engine.submit(Unit(number, (f"note {number}",)))
    made = [engine.take() for _ in range(units)]
    assert all(isinstance(one, EmbeddedUnit) for one in made), made
    return {round(float(one.vectors[0, 1] / one.vectors[0, 0])) for one in made if isinstance(one, EmbeddedUnit)}


def test_each_worker_sees_one_device_and_its_successor_the_same() -> None:
    engine = opened(3, ("7", "5"))
    try:
        assert seen(engine, 3) == {7, 5}
        assert [worker.place for worker in engine._workers] == [0, 1, 2]
        os.kill(engine.pids[1], signal.SIGKILL)
        engine._workers[1].process.wait()
        for number in (10, 11, 12):
            engine.submit(Unit(number, ("note",)))
        assert sum(isinstance(engine.take(), EmbeddedUnit) for _ in range(3)) == 2, "one met the dead worker"
        assert sorted(worker.place for worker in engine._workers) == [0, 2]
        assert seen(engine, 3) == {7, 5}
        assert sorted(worker.place for worker in engine._workers) == [0, 1, 2]
    finally:
        engine.close()


def test_without_several_devices_workers_see_what_their_driver_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "4")
    engine = opened(2, ())
    try:
        assert seen(engine, 2) == {4}
    finally:
        engine.close()


@pytest.mark.parametrize(("argument", "given"), [("", True), ("?device=cuda", True), ("?device=cuda:1", False)])
def test_a_model_that_names_its_device_stays_there(
    tiny_model: Any, monkeypatch: pytest.MonkeyPatch, argument: str, given: bool
) -> None:
    import torch

    monkeypatch.setattr(local, "named", lambda count, _: (str(count), "another"))
    assert devices_for(tiny_model(argument)) == ((str(torch.cuda.device_count()), "another") if given else ())
