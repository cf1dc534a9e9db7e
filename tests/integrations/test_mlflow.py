"""Pairs in a registry of MLflow, in SQLite and behind its server: versions, aliases and bundles follow the catalog.

Covers integrations.mlflow.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("mlflow", reason="needs MLflow: pip install 'vecrollback[mlflow]'")

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tests.support.docstrings import run_examples
from tests.support.http_server import V1, serving
from tests.support.waiting import wait_for
from vecrollback import Client, Document, Store, connect
from vecrollback.errors import UnknownNameError
from vecrollback.integrations.mlflow import PairRegistry


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with its tables, made once."""
    file = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_registered_models()
    return file


@pytest.fixture
def uri(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # where MLflow puts the artefacts
    return f"sqlite:///{shutil.copyfile(database, tmp_path / 'mlflow.db')}"


def aliases(uri: str, name: str = "search") -> dict[str, str]:
    found: dict[str, Any] = MlflowClient(tracking_uri=uri).get_registered_model(name).aliases
    return {alias: str(version) for alias, version in found.items()}


def test_versions_and_aliases_follow_every_move(store_path: Path, uri: str) -> None:
    client = MlflowClient(tracking_uri=uri)
    with connect(store_path) as store:
        registry = PairRegistry(store, "search", tracking_uri=uri)
        first = registry.publish()
        assert (first.added, first.put_back) == (("v1", "v2"), ())
        assert aliases(uri) == {"champion": first.versions["v2"], "previous": first.versions["v1"]}
        version = client.get_model_version("search", first.versions["v1"])
        assert version.tags["vecrollback.fingerprint"] == store.pair("v1").fingerprint
        assert (version.tags["vecrollback.state"], version.tags["vecrollback.snapshot"]) == ("standby", "v1@1")
        assert client.get_run(version.run_id).data.params["embedder"] == V1

        store.rollback(reason="worse", catch_up=False)
        moved = registry.publish()
        assert (moved.added, moved.champion, moved.put_back) == ((), first.versions["v1"], ())
        assert aliases(uri).get("champion") == first.versions["v1"]
        assert aliases(uri).get("previous") is None  # a quarantined pair is nowhere to go back to
        assert client.get_model_version("search", first.versions["v2"]).tags["vecrollback.state"] == "quarantined"

        store.promote("v2", reason="it was the network", override=True)
        assert registry.publish().previous == first.versions["v1"]
        assert registry.publish() == registry.publish()
    assert len(client.search_model_versions("name = 'search'")) == 2


def test_the_catalog_decides_and_an_alias_that_was_moved_is_put_back(store_path: Path, uri: str) -> None:
    client = MlflowClient(tracking_uri=uri)
    with connect(store_path) as store:
        registry = PairRegistry(store, "search", tracking_uri=uri, bundles=False)
        first, moves = registry.publish(), store.history()
        client.set_registered_model_alias("search", "champion", first.versions["v1"])
        client.delete_registered_model_alias("search", "previous")
        again = registry.publish()
        assert (again.champion, again.put_back) == (first.champion, ("champion", "previous"))
        assert aliases(uri) == {"champion": first.versions["v2"], "previous": first.versions["v1"]}
        assert (store.live().name, store.history()) == ("v2", moves)
        client.set_registered_model_alias("search", "best-in-may", first.versions["v1"])  # a team's own stays
        registry.publish()
        assert aliases(uri)["best-in-may"] == first.versions["v1"]


def test_a_bundle_from_the_registry_restores_the_pair_elsewhere(store_path: Path, uri: str, tmp_path: Path) -> None:
    with connect(store_path) as store:
        registry = PairRegistry(store, "search", tracking_uri=uri)
        registry.publish()
        expected = [hit.id for hit in store.inspection.search("v2", "apples of crate 7", 3).hits]
        file = registry.bundle("champion", tmp_path / "fetched")
    with connect(tmp_path / "other", create=True) as other:
        snapshot = other.import_snapshot(file)
        other.promote(snapshot.pair, reason="from the registry")
        assert [hit.id for hit in other.search("apples of crate 7", 3).hits] == expected


def test_a_registry_without_bundles_says_so(store_path: Path, uri: str, tmp_path: Path) -> None:
    with connect(store_path) as store:
        registry = PairRegistry(store, "search", tracking_uri=uri, bundles=False)
        registry.publish()
        with pytest.raises(UnknownNameError, match="has no bundle"):
            registry.bundle("champion", tmp_path)
        with pytest.raises(MlflowException):
            registry.bundle("7", tmp_path)


def test_over_http_it_says_the_same(store_path: Path, uri: str) -> None:
    with serving(store_path) as server, Client(server.url) as client:
        over_http = PairRegistry(client, "search", tracking_uri=uri)
        first = over_http.publish()
        assert set(first.versions) == {"v1", "v2"}
        client.rollback(reason="worse", catch_up=False)
        assert over_http.publish().champion == first.versions["v1"]


@pytest.fixture(scope="module")
def tracking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own server, in a process of its own, which also keeps the artefacts."""
    pytest.importorskip("graphene", reason="MLflow's server needs the whole package: pip install mlflow")
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    backend = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder)]
    command = [sys.executable, "-m", "mlflow", "server", *backend, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, "--workers", "1"], stdout=log, stderr=log, start_new_session=True)
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
            return False

        wait_for("MLflow's server", answers, 240)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    "story",
    [
        test_versions_and_aliases_follow_every_move,
        test_the_catalog_decides_and_an_alias_that_was_moved_is_put_back,
        test_a_bundle_from_the_registry_restores_the_pair_elsewhere,
        test_a_registry_without_bundles_says_so,
        test_over_http_it_says_the_same,
    ],
    ids=lambda story: story.__name__.removeprefix("test_"),
)
def test_behind_a_tracking_server_it_is_the_same(
    story: Callable[..., None], tracking_server: str, store_path: Path, tmp_path: Path
) -> None:
    client = MlflowClient(tracking_uri=tracking_server)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    given = {"store_path": store_path, "uri": tracking_server, "tmp_path": tmp_path}
    story(**{name: given[name] for name in inspect.signature(story).parameters})


def test_a_thread_publishes_what_others_moved_and_outlives_a_registry_that_is_gone(
    store_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(store_path) as store, connect(store_path, actor="somebody-else") as other:
        registry = PairRegistry(store, "search", tracking_uri=uri, bundles=False)
        with registry.following(0.05):
            wait_for("the versions", lambda: _champion(uri) == "2", 60)
            file = Path(uri.removeprefix("sqlite:///"))
            file.rename(file.with_suffix(".away"))
            file.mkdir()  # nothing can be opened there
            other.rollback(reason="worse", catch_up=False)
            wait_for("the trouble", lambda: "does not say what the catalog says" in caplog.text, 60)
            file.rmdir()
            file.with_suffix(".away").rename(file)
            wait_for("the move", lambda: _champion(uri) == "1", 60)


def _champion(uri: str) -> str | None:
    try:
        return aliases(uri).get("champion")
    except MlflowException:
        return None


def test_a_pair_that_is_gone_keeps_its_version_and_is_told_from_a_later_one(uri: str, tmp_path: Path) -> None:
    tags: list[str] = []
    for number in (1, 2):
        with connect(
            tmp_path / f"store{number}", create=True
        ) as store:  # the second is built anew, under the same names
            store.upsert([Document("tea", "Green tea is steeped.")])
            store.reembed("hash:32", name="one").wait()
            registry = PairRegistry(store, "search", tracking_uri=uri, bundles=False)
            assert registry.publish().versions == {"one": str(number)}
            found = sorted(
                MlflowClient(tracking_uri=uri).search_model_versions("name = 'search'"), key=lambda v: v.version
            )
            tags.append(" ".join(version.tags["vecrollback.state"] for version in found))
    assert tags == ["ready", "gone ready"]
    assert aliases(uri) == {}


def test_examples(uri: str) -> None:
    names: dict[str, Any] = {"connect": connect, "Document": Document}
    run_examples(Store, names)
    with names["store"]:
        for documented in (PairRegistry.bundle, PairRegistry):  # the second moves the pointer
            run_examples(documented, {**names, "PairRegistry": PairRegistry})


def test_the_page_runs(store_path: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store_path.rename("my-store")
    shutil.copyfile(database, "registry.db")
    page = Path(__file__).parents[2] / "docs" / "how-to" / "mlflow.md"
    [code] = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.M | re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["bundle"].is_file()
