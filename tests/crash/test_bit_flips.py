"""One bit of any file of a store, before anything that reads files to write new ones: found, or harmless.

The oracle is answers, filters included: where every check still passes and nothing was refused, they are the same as
before. `pytest -m slow tests/crash/test_bit_flips.py`; the seed is printed and taken from VECROLLBACK_SEED.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.support.flips import OPERATIONS, files_by_kind, flip
from tests.support.oracle import ONE, TWO
from tests.support.spawner import spawn
from vecrollback import Document

Baseline = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs, of which two is live, over a log of two files with a column to filter by, and a delete."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True, actor="tester") as store:
        topics, kinds = ("boats", "the lake", "bread"), ("bicycle", "lantern")
        documents = [
            Document(f"d{n}", f"note {n} on {topics[n % 3]}", {"kind": kinds[n % 2], "n": n}) for n in range(40)
        ]
        store.upsert(documents[:30])
        for name, spec in (("one", ONE), ("two", TWO)):
            store.promote(store.reembed(spec, name=name, index="Flat").wait(), reason="first")
        store.upsert(documents[30:])
        store.delete(["d2"])
        for name in ("one", "two"):
            store.catch_up(name)
            store.check(name)
    return root


@pytest.fixture(scope="module")
def baseline(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    """What an operation leaves of a sound store."""

    @cache
    def sound(operation: str) -> dict[str, Any]:
        root = shutil.copytree(template, tmp_path_factory.mktemp("sound") / "store")
        said = _said(root, operation)
        assert said["verdicts"] == {"one": "pass", "two": "pass"}, said
        assert not said["refused"]
        return said

    return sound


def test_a_flipped_bit_is_found_or_harmless(template: Path, baseline: Baseline, tmp_path: Path) -> None:
    chance = random.Random(11)
    kinds = list(files_by_kind(template))
    for number, operation in enumerate(("purge", "bundle", "purge")):
        _flip_and_look(template, tmp_path / str(number), chance, chance.choice(kinds), operation, baseline)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_flipped_bits_of_every_kind_of_file_are_found_or_harmless(
    template: Path, baseline: Baseline, tmp_path: Path, operation: str
) -> None:
    seed = os.environ.get("VECROLLBACK_SEED") or str(random.randrange(10**6))
    flips = int(os.environ.get("VECROLLBACK_FLIPS", "10"))
    chance = random.Random(f"{seed} {operation}")
    outcomes: Counter[str] = Counter()
    for kind in files_by_kind(template):
        for number in range(flips):
            world = tmp_path / f"{len(outcomes)}-{number}"
            outcomes[_flip_and_look(template, world, chance, kind, operation, baseline)] += 1
            shutil.rmtree(world)
    print(f"{operation}: seed {seed}, {dict(outcomes)}")


def _flip_and_look(
    template: Path, world: Path, chance: random.Random, kind: str, operation: str, baseline: Baseline
) -> str:
    """`found` or `harmless`; fails for anything else."""
    root = shutil.copytree(template, world / "store")
    file = chance.choice(files_by_kind(root)[kind])
    place = flip(root / file, chance)
    said = _said(root, operation, what=f"{operation}: byte {place} of {file}")
    was_refused = any(one.startswith(f"{operation}: ") for one in said["refused"])
    sound = baseline("nothing" if was_refused else operation)["answers"]
    wrong = {asked for asked, hits in said["answers"].items() if not _alike(hits, sound[asked])} - set(said["marked"])
    assert not wrong, f"{operation}: byte {place} of {file}: {wrong} answered otherwise, and nothing said so"
    if said["refused"] or set(said["verdicts"].values()) != {"pass"}:
        return "found"
    return "harmless"


def _alike(hits: list[list[Any]], others: list[list[Any]]) -> bool:
    """Whether two answers of all documents, sorted by id, differ at most in the last digits of the scores.

    A vector in an index and the same one among newer rows are multiplied in another order.
    """
    same = [hit[:-1] for hit in hits] == [hit[:-1] for hit in others]
    return same and all(abs(hit[-1] - other[-1]) < 1e-5 for hit, other in zip(hits, others, strict=True))


def _said(root: Path, operation: str, *, what: str = "a sound store") -> dict[str, Any]:
    process = spawn(["-m", "tests.support.flips", str(root), operation], dict(os.environ))
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, f"{what}: ended with {process.returncode}: {errors[-2000:]}"
    said: dict[str, Any] = json.loads(output)
    return said
