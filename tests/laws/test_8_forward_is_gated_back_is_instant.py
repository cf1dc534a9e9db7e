"""Law 8. Forward is gradual and gated; back is instant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.oracle import assert_passes
from vecrollback import Store
from vecrollback.errors import CheckRefusedError, NoRollbackTargetError, QuarantinedError
from vecrollback.pairs.manifest import load_manifest


def test_forward_is_gated_by_a_check(root: Path, store: Store) -> None:
    three = store.reembed("hash:32?seed=3", name="three", index="Flat").wait()
    manifest = load_manifest(store.resources.artifacts, store.resources.catalog.pairs.find_snapshot(three.ref).manifest)
    index = store.resources.artifacts.path(manifest.index.artifact)
    data = bytearray(index.read_bytes())
    data[-5] ^= 1
    index.write_bytes(data)
    with pytest.raises(CheckRefusedError, match="fail"):
        store.promote("three")
    with pytest.raises(CheckRefusedError):
        store.promote("three", override=True)
    assert store.live().name == "one"
    assert_passes(store.repair(store.check("three")))
    assert store.promote("three").target.startswith("three@")


def test_forward_is_gated_by_quarantine_and_back_is_not(store: Store) -> None:
    store.rollback(reason="a test", catch_up=False)
    with pytest.raises(QuarantinedError):
        store.promote("one")
    with pytest.raises(QuarantinedError):
        store.promote("one", override=True)
    with pytest.raises(NoRollbackTargetError, match="quarantined"):
        store.rollback(reason="a test")
    assert store.promote("one", override=True, reason="it was the data").target == "one@1"
