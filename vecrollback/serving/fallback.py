"""What answers while the model of the live pair does not, in the order that vecrollback.toml names.

Nothing is done without `[serving] fallback`, and no answer hides where it came from: each says `answered_by`, and in
`measured` what that was worth when it was last measured. A query's vector is only ever compared with vectors of its own
space: the standby's own, or, over a bridge, the space that the bridge was fitted and measured for. Words need no space.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from vecrollback.catalog import Catalog
from vecrollback.errors import CatalogUnavailableError, PairStateError, VecrollbackError
from vecrollback.pairs.bridges import Bridges
from vecrollback.pairs.late_model import QueryModel
from vecrollback.pairs.resources import Resources
from vecrollback.records import AnsweredBy, Bridge, BridgeWorth, Json, Pair
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.fallback_settings import FallbackSettings, read_settings
from vecrollback.serving.open_pairs import OpenPair, OpenPairs, Position
from vecrollback.serving.patient_model import TROUBLE, PatientModel

_log = logging.getLogger(__name__)
T = TypeVar("T")

_READ_SECONDS = 1.0
"""How long the file and the list of pairs are taken for what they were."""


@dataclass(frozen=True, slots=True)
class FallbackVectors:
    """Query vectors, and the open pair of whose space they are."""

    open_pair: OpenPair
    vectors: FloatArray
    answered_by: AnsweredBy
    measured: Mapping[str, Json] | None


class Fallback:
    """Finds vectors for queries whose own model does not answer. Safe to use from many threads."""

    def __init__(self, resources: Resources, open_pairs: OpenPairs) -> None:
        self._catalog, self._root, self._embedders = resources.catalog, resources.root, resources.embedders
        self._open_pairs, self._bridges = open_pairs, Bridges(resources)
        self._settings = _Reread(lambda: read_settings(self._root))
        self._known = _Reread(lambda: _Known.read(self._catalog))
        self._sources: dict[tuple[str, str], QueryModel] = {}
        self._patient: dict[str, PatientModel] = {}
        self._told = ""
        self._lock = threading.Lock()

    @property
    def settings(self) -> FallbackSettings:
        """What the file says now. One that cannot be read, or that nobody has trusted, changes nothing and stops no
        query.
        """
        try:
            return self._settings.value
        except VecrollbackError as error:
            if str(error) != self._told:
                _log.error("nothing answers in place of the live pair: %s", error)
            self._told = str(error)
            return FallbackSettings()

    def embed(self, open_pair: OpenPair, texts: list[str]) -> FloatArray:
        """Vectors by the pair's own model, which a query waits for only so long where something else can answer."""
        settings = self.settings
        if not settings.order:
            return open_pair.queries.embed(texts)
        return self._patient_with(open_pair.pair.name, open_pair.queries).embed(texts, settings.patience)

    def vectors(self, live: OpenPair, texts: list[str], head: int, cause: Exception) -> FallbackVectors | None:
        """Vectors by the first step that can make some; None where words are to answer, which need no vector.

        Args:
            live: The pair whose model did not answer.
            texts: The queries.
            head: Of the log, as the searcher has just read it.
            cause: What the model raised.

        Returns:
            The vectors, and where to search with them, or None.

        Raises:
            Exception: `cause`, when no step can answer.
        """
        for step in self.settings.order:
            if step == "keyword":
                return None
            for attempt in self._attempts(step, live, head):
                try:
                    return attempt(texts)
                except TROUBLE as error:
                    _log.debug("%s cannot answer for %s: %s", step, live.pair.name, error)
        raise cause

    def worth_of_words(self, live: OpenPair) -> Mapping[str, Json] | None:
        """How good answers by words alone were, when that was last measured; None where it never was."""
        try:
            return self._known.value.worth_of_words(live.pair)
        except CatalogUnavailableError:
            return None

    def prepare(self, live: OpenPair) -> None:
        """Open what a bridge needs, before a query has to wait for it; and let go of what another bridge needed."""
        bridges = self._known.value.bridges_into(live.pair) if "bridge" in self.settings.order else []
        sources = {(source.name, source.fingerprint) for _, source in bridges}
        with self._lock:
            self._sources = {key: model for key, model in self._sources.items() if key in sources}
        for bridge, source in bridges:
            try:
                self._bridges.open(bridge)
                self._source(source)
                return  # one that works is enough: models take memory
            except TROUBLE as error:
                _log.debug("bridge %s -> %s cannot be opened: %s", bridge.source, bridge.target, error)

    def tidy(self) -> None:
        """Let go of the models of pairs that are not open any more."""
        with self._lock:
            names = self._open_pairs.names | {name for name, _ in self._sources}
            # Not closed: queries in flight may still wait for one. Its threads end with it.
            self._patient = {name: patient for name, patient in self._patient.items() if name in names}

    def _attempts(self, step: AnsweredBy, live: OpenPair, head: int) -> list[Callable[[list[str]], FallbackVectors]]:
        try:
            known = self._known.value
        except CatalogUnavailableError:
            return []
        if step == "bridge" and live.view.snapshot.manifest.cascade is not None:
            return []  # it has vectors of a part of the documents, and what is not there would be missed unseen
        if step == "standby":
            return [
                lambda texts, pair=pair: self._by_standby(pair, live, known, head, texts)  # type: ignore[misc]
                for pair in known.standbys
                if pair.name != live.pair.name
            ]
        return [
            lambda texts, bridge=bridge, source=source: self._by_bridge(bridge, source, live, texts)  # type: ignore[misc]
            for bridge, source in known.bridges_into(live.pair)
        ]

    def _by_standby(self, pair: Pair, live: OpenPair, known: _Known, head: int, texts: list[str]) -> FallbackVectors:
        position = Position(pair.ref, pair.vectors_version, pair.watermark, head)
        open_pair = self._open_pairs.at(position)
        if open_pair.view.snapshot.manifest.cascade is not None:
            raise PairStateError(f"pair {pair.name!r} is not whole")
        measured = known.worth_of_staying(pair, live.pair)
        return FallbackVectors(open_pair, self.embed(open_pair, texts), "standby", measured)

    def _by_bridge(self, bridge: Bridge, source: Pair, live: OpenPair, texts: list[str]) -> FallbackVectors:
        patient = self._patient_with(source.name, self._source(source))
        vectors = self._bridges.open(bridge).apply(patient.embed(texts, self.settings.patience))
        return FallbackVectors(live, vectors, "bridge", {"source": bridge.source, **bridge.worth.payload})

    def _patient_with(self, pair: str, model: QueryModel) -> PatientModel:
        """What waits for a pair's model; one that was opened anew is waited for anew."""
        with self._lock:
            patient = self._patient.get(pair)
            if patient is None or patient.model is not model:
                # The one before is not closed: queries in flight may still wait for it. Its threads end with it.
                patient = self._patient[pair] = PatientModel(model)
            return patient

    def _source(self, pair: Pair) -> QueryModel:
        """The model that embeds for a bridge: that of an open pair, else one opened for it alone."""
        if (open_pair := self._open_pairs.find(pair.ref)) and open_pair.pair.fingerprint == pair.fingerprint:
            return open_pair.queries
        key = pair.name, pair.fingerprint  # another pair may have the name by now, and its model is another one
        with self._lock:
            model = self._sources.get(key)
        if model is None:
            model = self._embedders.query_probes(pair)
            with self._lock:
                self._sources = {key: model}
        return model

    def close(self) -> None:
        with self._lock:
            patient, self._patient, self._sources = self._patient, {}, {}
        for one in patient.values():
            one.close()


@dataclass(frozen=True, slots=True)
class _Known:
    """Pairs and bridges, as the catalog had them a moment ago."""

    standbys: tuple[Pair, ...]
    bridges: tuple[tuple[Bridge, Pair], ...]

    @classmethod
    def read(cls, catalog: Catalog) -> _Known:
        pairs = {pair.name: pair for pair in catalog.pairs.all()}
        bridges = [(one, pairs[one.source]) for one in catalog.bridges.all() if one.source in pairs]
        same = [(one, pair) for one, pair in bridges if one.source_fingerprint == pair.fingerprint]
        return cls(tuple(pair for pair in pairs.values() if pair.state == "standby" and pair.snapshot), tuple(same))

    def bridges_into(self, pair: Pair) -> list[tuple[Bridge, Pair]]:
        """Bridges into the pair's space that are worth something, the best first, each with its source."""
        usable = [
            (bridge, source)
            for bridge, source in self.bridges
            if bridge.target_fingerprint == pair.fingerprint and source.name != pair.name and bridge.is_usable
        ]
        return sorted(usable, key=lambda one: -(one[0].worth.bridged or 0.0))

    def worth_of_words(self, live: Pair) -> Mapping[str, Json] | None:
        """How good keyword search was, as the newest bridge into the pair's space measured it."""
        for bridge, _ in self.bridges:
            worth = bridge.worth
            if bridge.target_fingerprint == live.fingerprint and worth.words is not None:
                return _shown(worth.words, worth)
        return None

    def worth_of_staying(self, standby: Pair, live: Pair) -> Mapping[str, Json] | None:
        """How good the standby was by itself, as the bridge from it measured."""
        for bridge, source in self.bridges:
            worth = bridge.worth
            if source.name == standby.name and bridge.target_fingerprint == live.fingerprint and worth.queries:
                return _shown(worth.stay, worth)
        return None


def _shown(ndcg: float | None, worth: BridgeWorth) -> dict[str, Json]:
    """What an answer says of what was measured beside a bridge, with its queries."""
    share = ndcg / worth.own if ndcg is not None and worth.own else None
    shown = {"ndcg@10": ndcg, "own": worth.own, "share": share}
    rounded = {name: None if value is None else round(value, 4) for name, value in shown.items()}
    return {**rounded, "queries": worth.queries, "kind": worth.kind}


class _Reread(Generic[T]):
    """A value that is read again when it is older than `_READ_SECONDS`; while that fails, the old one stays."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read, self._at, self._lock = read, float("-inf"), threading.Lock()
        self._value: T | None = None

    @property
    def value(self) -> T:
        value = self._value
        if value is None:
            with self._lock:
                return self._read_again() if self._value is None else self._value
        # One query reads it again; the others, which cannot wait for a slow catalog, take what is known.
        if time.monotonic() - self._at > _READ_SECONDS and self._lock.acquire(blocking=False):
            try:
                return self._read_again()
            except TROUBLE as error:
                _log.warning("%s", error)
            finally:
                self._at = time.monotonic()
                self._lock.release()
        return value

    def _read_again(self) -> T:
        self._value, self._at = self._read(), time.monotonic()
        return self._value
