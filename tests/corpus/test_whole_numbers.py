"""Whole numbers that no filter column can hold are kept as they are, and compared exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from vecrollback import Document


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 10**400])
def test_a_whole_number_that_no_column_can_hold_is_kept_as_it_is(tmp_path: Path, number: int) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("a", "text", {"n": number})])
        assert store.get(["a"])["a"].metadata == {"n": number}


def test_whole_numbers_of_64_bits_are_told_apart(tmp_path: Path) -> None:
    numbers = [2**53, 2**53 + 1, 2**63 - 1, 2**63 - 2, -(2**63), 2.0**63]
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(str(at), "text", {"n": number}) for at, number in enumerate(numbers)])
        for number in numbers:
            for sign in ("=", "<", ">="):
                expected = [str(at) for at, one in enumerate(numbers) if _compare(sign, one, number)]
                assert [one.id for one in store.documents(f"n {sign} {number}")] == expected, (sign, number)


def _compare(sign: str, a: float, b: float) -> bool:
    return {"=": a == b, "<": a < b, ">=": a >= b}[sign]
