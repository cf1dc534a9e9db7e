"""Documents that change while a pair's model is gone come over a bridge: marked, counted, and made its own again.

Covers reembedding.bridged_pairs, quality.check.bridged, store.upkeep.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.models import DOWN
from tests.support.operations import EVERY_ROW, start
from tests.support.topics import documents, query
from vecrollback import Document, Store
from vecrollback.errors import EmbeddingError, PairStateError, UsageError
from vecrollback.pairs.vectors import newest
from vecrollback.records.arrays import FloatArray
from vecrollback.store.automation.worker import Worker

GONE, OTHER = "tests.support.models:touchy", "hash:256?seed=1"
CHANGED = [Document(f"t{n}", one.text) for n, one in enumerate(documents(20, seed=7))]
NEW = [Document(f"n{n}", one.text) for n, one in enumerate(documents(10, seed=8))]
IDS = sorted(document.id for document in (*CHANGED, *NEW))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`old` serves; queries and documents can come over a bridge from `new`; some documents have changed since."""
    root = tmp_path_factory.mktemp("bridged") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert(documents(300))
        for name, spec in (("old", GONE), ("new", OTHER)):
            store.reembed(spec, name=name, index="Flat").wait()
            assert store.promote(name).warning == ""
        store.rollback("old", reason="a test", catch_up=False)
        store.upsert([*CHANGED, *NEW])
        store.delete(["t299"])
    (root / "vecrollback.toml").write_text('[serving]\nfallback = ["bridge"]\n')
    return root


@pytest.fixture
def down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, the model of `old` does not answer."""
    file = tmp_path / "down"
    file.touch()
    monkeypatch.setenv(DOWN, str(file))
    return file


@pytest.fixture
def root(template: Path, tmp_path: Path, down: Path) -> Path:
    shutil.copytree(template, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with vecrollback.connect(root) as opened:
        yield opened


def provenance(store: Store, name: str = "old") -> dict[str, str]:
    """Document -> what its vectors that count say that they came from."""
    pair = store.pair(name)
    vectors = store.resources.vectors_of(pair)
    keys = vectors.keys(pair.vectors_version)
    rows = newest(keys, dict(store.resources.catalog.ledger.tombstones()))
    made_by = vectors.fingerprints(pair.vectors_version).to_pylist()
    return {keys["doc_id"][row].as_py(): made_by[row] for row in rows.tolist()}


def vectors_of(store: Store, name: str, ids: list[str]) -> FloatArray:
    pair = store.pair(name)
    vectors = store.resources.vectors_of(pair)
    keys = vectors.keys(pair.vectors_version)
    rows = {keys["doc_id"][row].as_py(): row for row in newest(keys, {}).tolist()}
    return vectors.read(pair.vectors_version, np.array([rows[id_] for id_ in ids])).vectors


def bridged(store: Store) -> list[str]:
    report = store.report("old")
    return report.ids("bridged_vector") if report else []


def test_what_changed_is_served_and_says_that_it_came_over_a_bridge(store: Store) -> None:
    done = store.catch_up("old", by="bridge")
    assert (done.lag, done.bridged, done.embedded) == (0, 30, 30)
    [bridge] = [one for one in store.bridges() if one.target == "old"]
    made_by = provenance(store)
    assert sorted(id_ for id_, what in made_by.items() if what == bridge.provenance) == IDS
    assert {what for id_, what in made_by.items() if id_ not in IDS} == {store.pair("old").fingerprint}
    model, space = store.resources.embedders.of(store.pair("new")), store._parts.bridges.open(bridge)
    wanted = space.apply(model.embed_documents([one.text for one in NEW]))
    assert np.allclose(vectors_of(store, "old", [one.id for one in NEW]), wanted, atol=1e-6)
    result = store.search(query(3), k=10)
    assert (result.answered_by, result.pair) == ("bridge", "old")
    assert not any(hit.stale for hit in result.hits)
    assert store.status()["pairs"][0]["bridged"] == 30


def test_what_the_other_pair_has_embedded_is_not_embedded_again(store: Store) -> None:
    store.catch_up("new")
    done = store.catch_up("old", by="bridge")
    assert (done.embedded, done.reused, done.bridged) == (0, 30, 30)


def test_a_check_counts_them_apart_and_warns(store: Store, down: Path) -> None:
    store.catch_up("old", by="bridge")
    away = store.check("old")
    assert away.verdict == "unknown"  # its model is away, and so it was not compared
    assert sorted(away.ids("bridged_vector")) == IDS
    down.unlink()
    report = store.check("old", sample=EVERY_ROW)
    assert report.verdict == "pass"
    assert {(one.kind, one.severity, one.count) for one in report.findings} == {("bridged_vector", "warn", 30)}
    assert report.certificate is not None
    assert report.certificate.population == report.certificate.sampled == 279  # 309 documents, 30 of them bridged
    assert store.audit("old", seed=1, suspects=()).findings == report.findings
    store.check("old", "quick")
    assert sorted(bridged(store)) == IDS


def test_a_vector_that_came_over_is_never_taken_for_the_models_own(store: Store, down: Path) -> None:
    store.catch_up("old", by="bridge")
    down.unlink()
    store.upsert([Document("copy", NEW[0].text)])
    assert store.catch_up("old").reused == 0
    own = store.resources.embedders.of(store.pair("old")).embed_documents([NEW[0].text])
    assert np.allclose(vectors_of(store, "old", ["copy"]), own, atol=1e-6)
    again = store.reembed(f"{GONE}", name="again", index="Flat").wait()
    assert set(provenance(store, again.name).values()) == {again.fingerprint}


def test_a_worker_goes_over_the_bridge_and_makes_them_own_when_the_model_is_back(store: Store, down: Path) -> None:
    worker = Worker(store, ask_every=1e-9)
    done = worker.run_once()
    assert store.lag("old") == 0
    assert done.failures == 1
    assert sorted(bridged(store)) == IDS
    worker.run_once()
    assert sorted(bridged(store)) == IDS  # it is still away
    down.unlink()
    store.ask_model("old")
    worker.run_once()
    assert bridged(store) == []
    assert set(provenance(store).values()) == {store.pair("old").fingerprint}
    assert store.check("old", sample=EVERY_ROW).findings == ()


def test_a_worker_goes_over_no_bridge_that_nobody_asked_for(store: Store) -> None:
    (store.root / "vecrollback.toml").write_text('[serving]\nfallback = ["standby", "keyword"]\n')
    lag = store.lag("old")
    Worker(store).run_once()
    assert store.lag("old") == lag > 0


def test_the_catch_up_after_a_rollback_by_bridge_goes_over_it_too(store: Store, down: Path) -> None:
    down.unlink()
    store.promote("new", override=True, reason="a test")
    store.upsert([Document("late", "words of the night")])
    down.touch()
    assert store.ask_model("old").verdict == "fail"
    moved = store.rollback("old", reason="a test", override=True)
    assert moved.bridge is not None
    assert moved.trouble == ""
    assert moved.caught_up is not None
    assert (moved.caught_up.embedded, moved.caught_up.bridged) == (1, 31)  # `new` had the others
    assert store.lag("old") == 0


def test_it_is_refused_while_the_model_answers_and_without_a_bridge(store: Store, down: Path) -> None:
    with pytest.raises(PairStateError, match="no bridge that keeps enough leads to pair 'third'"):
        third = store.reembed("tests.support.models:logged", name="third", index="Flat")
        third.wait()
        with pytest.MonkeyPatch.context() as gone:
            gone.setattr("tests.support.models._MODEL", None)
            store.catch_up("third", by="bridge")
    down.unlink()
    with pytest.raises(UsageError, match="the model of pair 'old' answers"):
        store.catch_up("old", by="bridge")


def test_without_a_model_that_answers_nothing_is_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.pair("old")

    def broken(*_: object, **__: object) -> object:
        raise EmbeddingError("the other one is gone, too")

    monkeypatch.setattr(store.resources.embedders, "proven", broken)
    with pytest.raises(EmbeddingError, match="the other one is gone, too"):
        store.catch_up("old", by="bridge")
    assert store.pair("old") == before


@pytest.mark.parametrize("point", ["table.data_synced", "table.committed", "vectors.appended", "pair.advanced"])
def test_one_that_is_killed_leaves_no_vector_that_nobody_looks_for(root: Path, down: Path, point: str) -> None:
    code = f"import vecrollback\nwith vecrollback.connect({str(root)!r}) as store: store.catch_up('old', by='bridge')"
    process = start(code=code, VECROLLBACK_FAULT=point)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    with vecrollback.connect(root) as store:
        own = store.pair("old").fingerprint
        listed, made_by = set(bridged(store)), provenance(store)
        assert {id_ for id_, what in made_by.items() if what != own} <= listed
        assert store.catch_up("old", by="bridge").lag == 0
        assert {id_ for id_, what in provenance(store).items() if what != own} == set(IDS)
        down.unlink()
        store.ask_model("old")
        Worker(store).run_once()
        assert set(provenance(store).values()) == {own}
        assert store.check("old", sample=EVERY_ROW).findings == ()
