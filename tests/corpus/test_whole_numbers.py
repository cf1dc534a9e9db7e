"""Whole numbers that no filter column can hold."""

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
