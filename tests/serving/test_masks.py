"""Which vectors may answer: a row shows exactly when its document was not deleted after it was written."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrollback.serving.masks import frozen, is_in, mask_deleted

_IDS = st.sampled_from(["a", "b", "c", "ä", ""])


def masked(rows: list[tuple[str, int]], tombstones: dict[str, int], alive: list[bool] | None = None) -> list[bool]:
    mask = np.array([True] * len(rows) if alive is None else alive, dtype=bool)
    ids, seq = pa.array([id_ for id_, _ in rows], pa.string()), np.array([seq for _, seq in rows], np.int64)
    return [bool(one) for one in mask_deleted(ids, seq, mask, tombstones)]


@given(
    rows=st.lists(st.tuples(_IDS, st.integers(0, 9), st.booleans()), max_size=12),
    tombstones=st.dictionaries(_IDS, st.integers(0, 9)),
)
def test_a_row_shows_unless_its_document_was_deleted_at_or_after_it(
    rows: list[tuple[str, int, bool]], tombstones: dict[str, int]
) -> None:
    wanted = [shown and seq > tombstones.get(id_, -1) for id_, seq, shown in rows]
    assert masked([row[:2] for row in rows], tombstones, [row[2] for row in rows]) == wanted


def test_a_document_that_came_back_shows_by_its_new_row_alone() -> None:
    assert masked([("d", 3), ("d", 8), ("e", 3)], {"d": 5}) == [False, True, True]


def test_a_row_that_is_hidden_already_stays_hidden() -> None:
    assert masked([("d", 8)], {"d": 5}, [False]) == [False]


def test_the_given_mask_itself_is_changed() -> None:
    mask = np.ones(2, dtype=bool)
    assert mask_deleted(pa.array(["a", "b"]), np.array([1, 1]), mask, {"a": 2}) is mask
    assert mask.tolist() == [False, True]


def test_is_in_takes_each_row_by_itself() -> None:
    assert is_in(pa.array(["a", "b", "a"]), pa.array(["a", "z"])).tolist() == [True, False, True]
    assert is_in(pa.array(["a"]), pa.array([], pa.string())).tolist() == [False]


def test_a_frozen_mask_takes_no_change() -> None:
    mask = frozen(np.ones(2, dtype=bool))
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False
