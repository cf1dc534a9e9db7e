"""Bridges on disk: learned from what two pairs have in common, kept by digest, forgotten with their pairs.

Covers store.bridges.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.topics import documents
from vecrollback import Store
from vecrollback.errors import CorruptArtifactError, PairStateError, UnknownNameError, UsageError
from vecrollback.pairs.bridges import LEAST_TEXTS, Bridges
from vecrollback.records import RetentionRules

ONE, NOISY, OTHER = "hash:96?seed=1", "hash:96?seed=1&noise=0.4", "hash:64?seed=2"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bridges") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert(documents(400))
        store.reembed(ONE, name="one", index="Flat").wait()
        store.reembed(NOISY, name="noisy", index="Flat").wait()
    return root


def test_only_living_texts_of_the_pairs_own_models_are_common(store: Store) -> None:
    store.delete(["t0", "t1"])
    store.upsert([type(documents(1)[0])("t2", "quite another text than before")])
    store.catch_up("one")  # the other pair still holds the old text
    bridges = Bridges(store.resources)
    common = bridges.common(store.pair("one"), store.pair("noisy"), seed=1)
    assert len(common.source) == 397
    own = store.resources.embedders.open(ONE).embed_documents([document.text for document in documents(400)[3:]])
    # the same texts in the same order on both sides, whatever the order is
    noisy = store.resources.embedders.open(NOISY).embed_documents([document.text for document in documents(400)[3:]])
    places = np.argmax(common.source @ own.T, axis=1)
    assert sorted(places.tolist()) == list(range(397))
    assert common.source == pytest.approx(own[places], abs=1e-6)
    assert common.target == pytest.approx(noisy[places], abs=1e-6)


def test_a_bridge_is_kept_with_its_measures_and_opened_by_its_digest(store: Store) -> None:
    bridge = store.bridge("one", "noisy", seed=1)
    assert (bridge.source, bridge.target, bridge.rows) == ("one", "noisy", 400)
    assert store.bridges() == [bridge]
    again = store.bridge("one", "noisy", seed=2)
    assert store.bridges() == [again]
    assert again.number > bridge.number
    vectors = store.resources.embedders.open(ONE).embed_queries(["some words"])
    assert Bridges(store.resources).open(again).apply(vectors).shape == (1, 96)


def test_a_changed_file_is_not_opened(store: Store) -> None:
    bridge = store.bridge("one", "noisy", seed=1)
    path = store.root / "artifacts" / bridge.artifact
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArtifactError):
        Bridges(store.resources).open(bridge)
    report = store.check("noisy")
    [finding] = [one for one in report.findings if one.kind == "bridge_corrupt"]
    assert (finding.severity, finding.ids) == ("warn", (bridge.artifact,))
    assert "`vecrollback bridge one noisy`" in finding.message
    assert report.verdict == "pass"


def test_a_prune_keeps_bridges_and_takes_those_that_were_replaced(store: Store) -> None:
    old, new = store.bridge("one", "noisy", seed=1), store.bridge("one", "noisy", seed=2)
    at_once = RetentionRules(snapshots=1, cool_down=0)
    store.retention.apply(store.retention.plan(at_once))
    artifacts = {path.name for path in (store.root / "artifacts").iterdir()}
    assert new.artifact in artifacts
    assert old.artifact == new.artifact or old.artifact not in artifacts


def test_a_bridge_is_forgotten_with_either_pair(store: Store) -> None:
    store.bridge("one", "noisy", seed=1)
    store.retention.retire(store.pair("noisy"))
    store.retention.apply(store.retention.plan(RetentionRules(cool_down=0)))
    assert store.bridges() == []


def test_too_few_texts_or_no_second_pair_is_refused(store: Store) -> None:
    store.delete([f"t{n}" for n in range(400 - LEAST_TEXTS + 1)])
    with pytest.raises(PairStateError, match=f"{LEAST_TEXTS - 1} texts in common"):
        store.bridge("one", "noisy")
    with pytest.raises(UsageError, match="both are pair 'one'"):
        store.bridge("one", "one")
    with pytest.raises(UnknownNameError):
        store.bridge("one", "nobody")


def test_a_promote_learns_both_bridges_and_a_small_store_needs_none(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert(documents(LEAST_TEXTS - 1))
        store.reembed(ONE, name="one", index="Flat").wait()
        store.promote("one")
        store.reembed(OTHER, name="other", index="Flat").wait()
        assert store.promote("other").warning == ""
        assert store.bridges() == []
        store.upsert(documents(LEAST_TEXTS + 40))
        assert store.promote("one").warning.count("there is no bridge") == 1  # `other` has not caught up
        store.catch_up("other")
        assert store.promote("other").warning == ""
        assert {(one.source, one.target) for one in store.bridges()} == {("one", "other"), ("other", "one")}


def test_a_promote_stands_whatever_becomes_of_its_bridges(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise np.linalg.LinAlgError("did not converge")

    store.promote("one")
    monkeypatch.setattr("vecrollback.pairs.bridges.fit_bridge", broken)
    moved = store.promote("noisy")
    assert moved.target == "noisy@1"
    assert moved.warning.count("did not converge") == 2
