"""The model lives with the pair: whatever becomes of the original, the pair goes on with the files that made it.

With a transformer of two small layers, whose files are exchanged, overwritten and removed as a training run, a hub or a
person does.

Covers catalog.models, records.models, storage.cloning.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.hub import Hub
from tests.support.postgres import PostgresServer
from tests.support.s3_server import ObjectServer
from vecrollback import Document, Store
from vecrollback.embedders import open_embedder
from vecrollback.errors import BundleError, CorruptArtifactError, EmbedderChangedError, VecrollbackError
from vecrollback.records import RetentionRules
from vecrollback.storage.cloning import clone_file

TEXTS = {f"d{n}": f"the boat number {n} leaves the harbour at {n % 24} o'clock" for n in range(12)}
COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path) -> Hub:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    cache = Hub(tmp_path / "hub")
    cache.commit(COMMITS[0], tiny)
    return cache


@pytest.fixture
def directory(tmp_path: Path, tiny: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with vecrollback.connect(tmp_path / "store", create=True) as opened:
        opened.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        yield opened


def train(model: Path) -> None:
    """Write other weights into the same file, as a training run that saves over the old model."""
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    save_file({name: tensor.clone() * 1.5 + 0.1 for name, tensor in weights.items()}, model / "model.safetensors")


def reopened(store: Store) -> Store:
    """The store as a process that starts now has it."""
    return vecrollback.connect(store.root)


def first(store: Store) -> str:
    [hit] = store.search("boat number 7 leaves", k=1).hits
    return hit.id


def test_a_hub_name_is_recorded_with_its_commit_and_a_moving_main_changes_nothing(
    store: Store, hub: Hub, directory: Path
) -> None:
    pair = store.reembed("org/model?max_length=64", name="v1", keep_model=False).wait()
    assert pair.embedder == f"org/model?max_length=64&revision={COMMITS[0]}"
    store.promote("v1")
    before = first(store)
    train(directory)
    hub.commit(COMMITS[1], directory)
    with reopened(store) as later:
        assert first(later) == before
        assert later.catch_up("v1").lag == 0
        assert later.check("v1").verdict == "pass"
        assert later.reembed("org/model?max_length=64", name="v2").wait().fingerprint != pair.fingerprint
        later.promote("v2")
        assert later.rollback(reason="the first commit was better").target == "v1@1"


def test_a_branch_is_pinned_to_the_commit_that_it_stands_at(hub: Hub) -> None:
    hub.point("release", COMMITS[0])
    embedder = open_embedder("org/model?revision=release&query_prompt=q%3A+")
    assert embedder.spec == f"org/model?query_prompt=q%3A+&revision={COMMITS[0]}"
    assert open_embedder(embedder.spec).fingerprint == embedder.fingerprint


def test_a_pair_that_was_recorded_by_name_alone_finds_its_commit_again(store: Store, hub: Hub, directory: Path) -> None:
    store.reembed("org/model", name="v1", keep_model=False).wait()
    store.resources.catalog.pairs.set_embedder("v1", "org/model")  # as versions before did
    train(directory)
    hub.commit(COMMITS[1], directory)
    with reopened(store) as later:
        assert later.check("v1").verdict == "pass"
    hub.forget(COMMITS[0])
    with reopened(store) as later, pytest.raises(EmbedderChangedError, match="its files or arguments changed"):
        later.resources.embedders.of(later.pair("v1"))


@pytest.mark.parametrize("loss", ["overwritten", "removed"])
def test_a_directory_that_training_writes_over_or_that_is_gone_does_not_change_the_pair(
    store: Store, directory: Path, loss: str
) -> None:
    store.reembed(str(directory), name="v1").wait()
    store.promote("v1")
    before, vector = first(store), open_embedder(str(directory)).embed_queries(["boat number 7"])
    train(directory) if loss == "overwritten" else shutil.rmtree(directory)
    with reopened(store) as later:
        assert first(later) == before
        later.upsert([Document("new", "a boat that nobody has seen before")])
        assert later.catch_up("v1").embedded == 1
        assert later.check("v1").verdict == "pass"
        embedder = later.resources.embedders.of(later.pair("v1"))
        np.testing.assert_allclose(embedder.embed_queries(["boat number 7"]), vector, atol=1e-6)
        assert later.pair("v1").embedder == str(directory), "what people called it stays"


def test_rollback_and_restore_answer_from_the_kept_model_when_the_hub_has_it_no_longer(
    store: Store, hub: Hub, directory: Path
) -> None:
    store.reembed("org/model", name="v1").wait()
    store.promote("v1")
    before = first(store)
    train(directory)
    hub.commit(COMMITS[1], directory)
    store.reembed("org/model", name="v2").wait()
    store.promote("v2")
    hub.clear()
    with reopened(store) as later:
        assert later.rollback(reason="worse").report.verdict == "pass"
        assert first(later) == before
        assert later.restore("v2@1", reason="as it was").report.verdict == "pass"
        assert later.search("boat number 7 leaves").doubt == ""


def test_an_original_that_was_lost_and_is_not_kept_is_told_as_before(store: Store, directory: Path) -> None:
    store.reembed(str(directory), name="v1", keep_model=False).wait()
    assert store.kept_model("v1") is None
    shutil.rmtree(directory)
    with reopened(store) as later, pytest.raises(VecrollbackError, match="does not exist"):
        later.resources.embedders.of(later.pair("v1"))


def test_a_damaged_kept_model_is_found_and_the_original_serves(store: Store, directory: Path) -> None:
    store.reembed(str(directory), name="v1").wait()
    weights = store.root / "artifacts" / store.kept_model("v1").artifact / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"xxxx")
    with reopened(store) as later:
        assert later.resources.embedders.of(later.pair("v1")).spec == str(directory)
        [finding] = later.check("v1").findings
        assert (finding.kind, finding.severity) == ("kept_model_corrupt", "warn")
        assert later.keep_model("v1").artifact == weights.parent.name
        assert later.check("v1").findings == ()


def test_pairs_of_one_model_share_its_files_and_prune_takes_what_no_pair_needs(store: Store, directory: Path) -> None:
    store.reembed(str(directory), name="v1").wait()
    store.reembed(f"{directory}?max_length=64", name="v2").wait()
    one, two = store.kept_model("v1"), store.kept_model("v2")
    assert one.artifact == two.artifact
    at_once = RetentionRules(snapshots=1, cool_down=0.0)
    for pair, gone in (("v1", False), ("v2", True)):
        store.retention.retire(store.pair(pair))
        plan = store.retention.plan(at_once)
        assert (f"artifacts/{one.artifact}" in {file.path for file in plan.files}) == gone
        store.retention.apply(plan)
        assert (store.root / "artifacts" / one.artifact).exists() != gone
    assert plan.bytes > one.bytes


def test_a_model_over_the_limit_is_kept_where_that_is_asked_for(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECROLLBACK_KEEP_MODEL_LIMIT", "100kB")
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("a", "a text")])
        assert store.plan(str(directory), measure=False).model_bytes == 0
        store.reembed(str(directory), name="v1").wait()
        assert store.kept_model("v1") is None
        assert store.plan(str(directory), measure=False, name="v2", keep_model=True).model_bytes > 100_000
        store.reembed(str(directory), name="v1", keep_model=True).wait()
        assert store.kept_model("v1").bytes > 100_000


def test_only_files_that_nobody_writes_into_are_linked(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("first")
    clone_file(source, tmp_path / "copy")
    clone_file(source, tmp_path / "folder" / "link", immutable=True)
    assert (tmp_path / "folder" / "link").samefile(source)
    with source.open("r+") as stream:
        stream.write("other")
    assert (tmp_path / "copy").read_text() == "first"


def test_files_of_a_hub_cache_are_linked_and_cost_no_room(store: Store, hub: Hub) -> None:
    store.reembed("org/model", name="v1").wait()
    artifact = store.root / "artifacts" / store.kept_model("v1").artifact
    links = {file.stat().st_nlink for file in artifact.rglob("*") if file.is_file()}
    assert links == {2}


def test_a_model_that_changes_while_it_is_kept_is_refused(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, clone = store.resources.embedders.kept, vecrollback.pairs.kept_models.clone_files  # type: ignore[attr-defined]

    def disturbed(*args: object, **options: object) -> None:
        train(directory)
        clone(*args, **options)

    monkeypatch.setattr("vecrollback.pairs.kept_models.clone_files", disturbed)
    with pytest.raises(EmbedderChangedError, match="changed while"):
        kept.put("v1", store.resources.embedders.open(str(directory)))


def test_a_bundle_carries_the_model_to_a_store_that_never_had_it(store: Store, directory: Path, tmp_path: Path) -> None:
    store.reembed(str(directory), name="v1").wait()
    store.promote("v1")
    before = first(store)
    exported = store.export_snapshot("v1@1", tmp_path / "v1.bundle")
    small = store.export_snapshot("v1@1", tmp_path / "small.bundle", model=False)
    assert exported.bytes - small.bytes >= store.kept_model("v1").bytes
    shutil.rmtree(directory)
    with vecrollback.connect(tmp_path / "elsewhere", create=True) as other:
        other.import_snapshot(tmp_path / "v1.bundle")
        assert other.kept_model("v1").artifact == store.kept_model("v1").artifact
        other.promote("v1")
        assert first(other) == before
    with vecrollback.connect(tmp_path / "third", create=True) as other:
        other.import_snapshot(tmp_path / "small.bundle")
        assert other.kept_model("v1") is None
        assert "does not exist" in other.ask_model("v1").said


def test_a_bundle_puts_a_damaged_or_missing_kept_model_back(store: Store, directory: Path, tmp_path: Path) -> None:
    store.reembed(str(directory), name="v1").wait()
    store.export_snapshot("v1@1", tmp_path / "v1.bundle")
    shutil.rmtree(directory)
    weights = store.root / "artifacts" / store.kept_model("v1").artifact / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"xxxx")
    with pytest.raises(CorruptArtifactError, match="the kept model"):
        store.export_snapshot("v1@1", tmp_path / "bad.bundle")
    with reopened(store) as later:
        later.import_snapshot(tmp_path / "v1.bundle")
        assert later.check("v1").findings == ()
        store.resources.catalog.models.drop("v1")
        later.import_snapshot(tmp_path / "v1.bundle")
        assert later.ask_model("v1").verdict == "pass"


def test_a_bundle_whose_model_brings_programs_along_is_taken_only_from_somebody_who_is_trusted(
    store: Store, directory: Path, tmp_path: Path
) -> None:
    (directory / "modeling_own.py").write_text("raise SystemExit('this must never run')")
    store.reembed(str(directory), name="v1").wait()
    store.export_snapshot("v1@1", tmp_path / "v1.bundle")
    with vecrollback.connect(tmp_path / "elsewhere", create=True) as other:
        with pytest.raises(BundleError, match=r"modeling_own\.py") as refused:
            other.import_snapshot(tmp_path / "v1.bundle")
        assert "--trust-code" in refused.value.hint
        assert other.pairs() == []
        assert other.import_snapshot(tmp_path / "v1.bundle", trust_code=True).ref == "v1@1"


def test_a_bundle_with_another_model_than_its_pairs_is_refused(store: Store, directory: Path, tmp_path: Path) -> None:
    store.reembed(str(directory), name="v1").wait()
    own = store.kept_model("v1")
    train(directory)
    store.reembed(str(directory), name="v2").wait()
    store.resources.catalog.models.keep(dataclasses.replace(store.kept_model("v2"), pair="v1"), lambda: None)
    store.export_snapshot("v1@1", tmp_path / "v1.bundle")
    store.resources.catalog.models.keep(own, lambda: None)
    with (
        vecrollback.connect(tmp_path / "elsewhere", create=True) as other,
        pytest.raises(BundleError, match="are not those of the pair's model"),
    ):
        other.import_snapshot(tmp_path / "v1.bundle")


def test_a_model_is_kept_on_object_storage_and_fetched_by_a_host_that_has_neither_it_nor_the_original(
    objects: ObjectServer, postgres: PostgresServer, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, url = objects.uri(), postgres.url()
    with vecrollback.connect(uri, catalog=url, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        store.promote(store.reembed(str(directory), name="v1").wait())
        kept, before = store.kept_model("v1"), first(store)
    shutil.rmtree(directory)
    monkeypatch.setenv("VECROLLBACK_CACHE", str(tmp_path / "another host"))
    with vecrollback.connect(uri, catalog=url) as other:
        assert not other.resources.artifacts.near(kept.artifact)
        assert first(other) == before
        assert other.resources.artifacts.near(kept.artifact)
        report = other.check("v1")
        assert (report.verdict, report.findings) == ("pass", ())
        assert other.ask_model("v1").said == "it answers, from the files that the store keeps"
        other.resources.artifacts.remove(kept.artifact)
        assert [one.kind for one in other.check("v1", "quick").findings] == ["kept_model_corrupt"]
