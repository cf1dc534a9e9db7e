"""Embedders of pairs, loaded once per process and proven by their probes before they serve or write."""

from __future__ import annotations

import threading

from vecrollback.artifacts import Artifacts
from vecrollback.catalog import Catalog
from vecrollback.embedders import Embedder, open_embedder
from vecrollback.embedders.probes import verify_probes
from vecrollback.errors import EmbedderChangedError
from vecrollback.records import Pair
from vecrollback.snapshots import load_probes
from vecrollback.vectors import FloatArray


class Models:
    """Hands out a pair's embedder. The first time it compares the model's behaviour with the pair's probes."""

    def __init__(self, catalog: Catalog, artifacts: Artifacts) -> None:
        self._catalog = catalog
        self._artifacts = artifacts
        self._loaded: dict[tuple[str, str], Embedder] = {}
        self._verified: set[tuple[str, str, str]] = set()
        self._lock = threading.RLock()

    def open(self, spec: str) -> Embedder:
        """An embedder by its string, not yet compared with anything."""
        embedder = open_embedder(spec)
        with self._lock:
            return self._loaded.setdefault((spec, embedder.fingerprint), embedder)

    def of(self, pair: Pair) -> Embedder:
        """The embedder that made the pair's vectors. Raises EmbedderChangedError when it is another one by now."""
        with self._lock:
            embedder = self._loaded.get((pair.embedder, pair.fingerprint)) or self._open_checked(pair)
            key = (pair.embedder, pair.fingerprint, pair.probes)
            if pair.probes and key not in self._verified:
                verify_probes(embedder, load_probes(self._artifacts, pair.probes), pair.probe_floor)
                self._verified.add(key)
            return embedder

    def trust(self, pair: Pair, embedder: Embedder) -> None:
        """Note that the pair's probes were recorded from this very embedder a moment ago."""
        self._loaded[(pair.embedder, pair.fingerprint)] = embedder
        self._verified.add((pair.embedder, pair.fingerprint, pair.probes))

    def probes(self, pair: Pair) -> FloatArray:
        """The probe vectors recorded with a pair."""
        return load_probes(self._artifacts, pair.probes)

    def _open_checked(self, pair: Pair) -> Embedder:
        embedder = self.open(pair.embedder)
        if embedder.fingerprint not in self._catalog.equivalences.of(pair.fingerprint):
            raise EmbedderChangedError(
                f"pair {pair.name!r} was made by embedder {pair.fingerprint}, but {pair.embedder!r} now is "
                f"{embedder.fingerprint}: its files or arguments changed",
                hint=f"put the old model back, or, if it is the same model elsewhere, run "
                f"`vecrollback embedder equate {pair.name} {pair.embedder!r}`",
            )
        self._loaded[(pair.embedder, pair.fingerprint)] = embedder
        return embedder

    def close(self) -> None:
        with self._lock:
            for embedder in set(self._loaded.values()):
                embedder.close()
            self._loaded.clear()
            self._verified.clear()
