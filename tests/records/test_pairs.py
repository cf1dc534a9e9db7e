"""Names of snapshots and where aliases point."""

from __future__ import annotations

import pytest

from vecrollback.errors import UsageError
from vecrollback.records import AliasTarget, SnapshotRef


@pytest.mark.parametrize(("text", "pair", "number"), [("v1@1", "v1", 1), ("a.b-c_d@20", "a.b-c_d", 20)])
def test_a_snapshot_is_read_from_its_name_and_named_as_it_was_read(text: str, pair: str, number: int) -> None:
    ref = SnapshotRef.parse(text)
    assert (ref.pair, ref.number, str(ref)) == (pair, number, text)
    assert AliasTarget(pair, number, 7).ref == text


@pytest.mark.parametrize("text", ["", "v1", "@1", "v1@", "v1@x", "v1@-1", "v1@ 1", "v1@²", "v1@1.0"])
def test_what_is_not_the_name_of_a_snapshot_is_refused_with_the_form_it_should_have(text: str) -> None:
    with pytest.raises(UsageError, match="is not a valid snapshot; use PAIR@N"):
        SnapshotRef.parse(text)
