"""Pairs in MLflow's model registry: what the catalog says, shown where a team looks for its models. Needs `mlflow`.

A pair is a version of a registered model, and a bundle of it is the version's artefact. The version that serves has the
alias `champion`, the one that a rollback would go to `previous`. It goes one way: the catalog decides. Whoever moves an
alias in MLflow moves nothing here, and finds it put back.
"""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, Self

from vecrollback.client import Client
from vecrollback.errors import MissingDependencyError, NoRollbackTargetError, UnknownNameError
from vecrollback.records import Pair
from vecrollback.store.store import Store

if find_spec("mlflow") is None:
    raise MissingDependencyError("mlflow", "mlflow")

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

_log = logging.getLogger(__name__)

CHAMPION, PREVIOUS = "champion", "previous"
_KEY, _GONE = "vecrollback.key", "gone"
_FACTS, _BUNDLE, _FOLDER = "pair.json", "pair.bundle", "vecrollback"
_PARAMETERS = ("embedder", "fingerprint", "dimension", "metric", "index_spec")
_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Published:
    """What the registry says after `publish`.

    `versions`: of each pair, by its name. `added`: pairs that got a version now. `champion`, `previous`: versions, None
    where no pair is. `put_back`: aliases that somebody had moved in MLflow since the last time.
    """

    versions: Mapping[str, str]
    added: tuple[str, ...]
    champion: str | None
    previous: str | None
    put_back: tuple[str, ...]


class _ModelVersion(Protocol):
    """What MLflow knows of a version."""

    version: Any
    tags: dict[str, str]
    source: str


class PairRegistry:
    """A registered model of MLflow whose versions are the pairs of a store.

    Nothing in the store depends on it: a registry that does not answer delays no move.

    Args:
        store_or_client: An open `Store`, or a `Client`, which gives no bundles. It stays yours to close.
        name: The registered model; it is made where there is none. One for each store.
        tracking_uri: MLflow's server or database. Default: what MLFLOW_TRACKING_URI says.
        registry_uri: Its registry, where that is another one.
        bundles: Whether a version gets the pair as an artefact. Texts and vectors go to where MLflow keeps those.
        experiment: In which the artefacts are. Default: the registered model's name.

    Example:
        >>> registry = PairRegistry(store, "search", tracking_uri="sqlite:///mlflow.db")
        >>> registry.publish().champion
        '2'
        >>> moved = store.rollback(reason="worse answers", catch_up=False)
        >>> registry.publish().champion
        '1'
    """

    def __init__(
        self,
        store_or_client: Store | Client,
        name: str,
        *,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        bundles: bool = True,
        experiment: str | None = None,
    ) -> None:
        self.store, self.name = store_or_client, name
        self._mlflow: Any = MlflowClient(tracking_uri=tracking_uri, registry_uri=registry_uri)
        self._tracking_uri = tracking_uri
        self._bundles, self._experiment = bundles and isinstance(store_or_client, Store), experiment or name
        self._told: dict[str, str] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r}, {self.name!r})"

    def publish(self) -> Published:
        """Make the registry say what the catalog says. What it says already is not written again.

        Raises:
            MlflowException: MLflow does not answer, or refuses. Ask again: what was written stays.
        """
        with self._lock:
            pairs = [pair for pair in self.store.pairs() if pair.snapshot]
            versions, added = self._model_versions(), []
            for pair in pairs:
                if (key := _key(pair)) not in versions:
                    versions[key] = self._add(pair)
                    added.append(pair.name)
                self._tag(versions[key], {"state": pair.state, "snapshot": pair.ref})
            known = {_key(pair) for pair in pairs}
            for key in versions.keys() - known:
                self._tag(versions[key], {"state": _GONE})
            by_name = {pair.name: str(versions[_key(pair)].version) for pair in pairs}
            live = next((pair.name for pair in pairs if pair.state == "live"), None)
            wanted = {CHAMPION: by_name.get(live or ""), PREVIOUS: by_name.get(self._next() or "")}
            put_back = tuple(alias for alias, version in wanted.items() if self._point(alias, version))
            return Published(by_name, tuple(added), wanted[CHAMPION], wanted[PREVIOUS], put_back)

    def bundle(self, version_or_alias: str, folder: str | Path) -> Path:
        """Fetch the pair of a version, for `Store.import_snapshot`: into this store or another one.

        Args:
            version_or_alias: "2", "champion".
            folder: Where to put the file.

        Returns:
            The bundle.

        Raises:
            UnknownNameError: The version was made without one, or is not a pair.
            MlflowException: There is no such version or alias, or MLflow does not answer.

        Example:
            >>> registry = PairRegistry(store, "search", tracking_uri="sqlite:///mlflow.db")
            >>> versions = registry.publish().versions
            >>> store.import_snapshot(registry.bundle("champion", "fetched")).pair
            'v2'
        """
        if version_or_alias.isdigit():
            version = self._mlflow.get_model_version(self.name, version_or_alias)
        else:
            version = self._mlflow.get_model_version_by_alias(self.name, version_or_alias)
        if "vecrollback.bundle" not in version.tags:
            raise UnknownNameError(
                f"version {version.version} of {self.name!r} has no bundle", hint="publish pairs with bundles=True"
            )
        Path(folder).mkdir(parents=True, exist_ok=True)
        place = f"{version.source}/{_BUNDLE}"
        return Path(download_artifacts(artifact_uri=place, dst_path=str(folder), tracking_uri=self._tracking_uri))

    def following(self, seconds: float = _PAUSE_SECONDS) -> Following:
        """Publish from now on whenever a pair or the pointer changed, whoever moved it; end it with `close` or `with`.

        Args:
            seconds: How often to look. A look is one read of the catalog, or one request to the server.
        """
        return Following(self, seconds)

    def moment(self) -> tuple[object, ...]:
        """What a version and the aliases are made of: equal while there is nothing to publish."""
        return tuple((_key(pair), pair.state, pair.snapshot) for pair in self.store.pairs())

    def _next(self) -> str | None:
        """The pair that a rollback would go to now."""
        if isinstance(self.store, Client):
            ref = self.store.status()["rollback"]["target"]
            return str(ref).rpartition("@")[0] if ref else None
        try:
            return self.store.rollback_target().pair
        except NoRollbackTargetError:
            return None

    def _model_versions(self) -> dict[str, _ModelVersion]:
        try:
            self._mlflow.create_registered_model(self.name, description="Pairs of a vecrollback store.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found: dict[str, _ModelVersion] = {}
        token = None
        while True:
            page = self._mlflow.search_model_versions(f"name = '{self.name}'", page_token=token)
            found |= {one.tags[_KEY]: one for one in page if _KEY in one.tags}
            token = page.token
            if not token:
                return found

    def _add(self, pair: Pair) -> _ModelVersion:
        """A version of a pair. It comes last: a publish that dies leaves a run behind, and no half version."""
        run = self._mlflow.create_run(self._experiment_id(), run_name=pair.ref)
        id_, source = run.info.run_id, f"{run.info.artifact_uri}/{_FOLDER}"
        for parameter in _PARAMETERS:
            self._mlflow.log_param(id_, parameter, getattr(pair, parameter))
        tags = {_KEY: _key(pair), "vecrollback.pair": pair.name, "vecrollback.embedder": pair.embedder}
        tags["vecrollback.fingerprint"] = pair.fingerprint
        with tempfile.TemporaryDirectory(prefix="vecrollback-mlflow-") as folder:
            facts = Path(folder) / _FACTS
            facts.write_text(json.dumps(asdict(pair), ensure_ascii=False, indent=2, default=str), encoding="utf-8")
            self._mlflow.log_artifact(id_, str(facts), _FOLDER)
            if self._bundles and isinstance(self.store, Store):
                written = self.store.export_snapshot(pair.ref, Path(folder) / _BUNDLE)
                self._mlflow.log_artifact(id_, written.path, _FOLDER)
                tags |= {"vecrollback.bundle": written.snapshot, "vecrollback.sha256": written.sha256}
        self._mlflow.set_terminated(id_)
        version: _ModelVersion = self._mlflow.create_model_version(self.name, source=source, run_id=id_, tags=tags)
        return version

    def _experiment_id(self) -> str:
        experiment = self._mlflow.get_experiment_by_name(self._experiment)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(self._mlflow.create_experiment(self._experiment))

    def _tag(self, version: _ModelVersion, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            if version.tags.get(f"vecrollback.{name}") != value:
                self._mlflow.set_model_version_tag(self.name, str(version.version), f"vecrollback.{name}", value)

    def _point(self, alias: str, wanted: str | None) -> bool:
        """Let an alias point to a version; whether somebody else had moved it since this object last did."""
        try:
            at = str(self._mlflow.get_model_version_by_alias(self.name, alias).version)
        except MlflowException as error:
            if error.error_code not in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                raise
            at = ""
        moved = alias in self._told and at != self._told[alias]
        if at != (wanted or ""):
            if wanted is not None:
                self._mlflow.set_registered_model_alias(self.name, alias, wanted)
            else:
                self._mlflow.delete_registered_model_alias(self.name, alias)
        self._told[alias] = wanted or ""
        return moved


class Following:
    """A thread that publishes when something changed. A registry that does not answer is asked again, and logged."""

    def __init__(self, registry: PairRegistry, seconds: float) -> None:
        self._registry, self._seconds = registry, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="vecrollback-mlflow", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        before: tuple[object, ...] | None = None
        while not self._stop.is_set():
            try:
                now = self._registry.moment()
                if now != before:
                    self._registry.publish()
                    before = now
            except Exception as error:  # MLflow's, a server's, the catalog's: none of them ends it
                _log.warning("MLflow's registry does not say what the catalog says: %s", error)
            self._stop.wait(self._seconds)

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(pair: Pair) -> str:
    """What tells a pair from a later one of its name."""
    return f"{pair.name} {pair.created_at}"
