"""Bridges on disk: vectors that two pairs have of the same texts, and the map that was learned from them.

A bridge costs no embedding: both pairs hold the vectors. It is written once, as an artefact that is named by its
digest and holds both the map and what was measured of it; the catalog only says which one is the newest.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.catalog import now
from vecrollback.errors import PairStateError
from vecrollback.pairs.bridge_maps import BridgeMap, choose_map, decode_map, fit_maps, nearest, recall
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.vectors import newest
from vecrollback.records import Bridge, BridgeWorth, Pair
from vecrollback.records.arrays import FloatArray

FIT_ROWS = 20_000
"""Texts that a map is fitted to at most: its cost is bounded, whatever the corpus."""
LEAST_TEXTS = 200
_HELD_OUT = 500
_OPEN_MAPS = 4


@dataclass(frozen=True, slots=True)
class CommonVectors:
    """Vectors that two pairs have of the same texts, drawn at random: shapes (n, a) and (n, b)."""

    source: FloatArray
    target: FloatArray


@dataclass(frozen=True, slots=True)
class FittedBridge:
    """A map and how it did on texts that had no part in it. `map`: fitted again to all texts, those included."""

    map: BridgeMap
    rows: int
    recall: float
    held_out: int
    among: int


def fit_bridge(common: CommonVectors, target: Pair) -> FittedBridge:
    """Fit every kind of map, choose one by held-out recall, and measure it on texts held out from the choice too."""
    count = len(common.source)
    size = min(_HELD_OUT, count // 8)
    chosen_by, proven_by, fitted = slice(0, size), slice(size, 2 * size), slice(2 * size, count)
    base = common.target[fitted]
    maps = fit_maps(common.source[fitted], base, target.metric)
    best = choose_map(maps, common.source[chosen_by], common.target[chosen_by], base)
    truth = nearest(common.target[proven_by], base, target.metric)
    answers = nearest(best.apply(common.source[proven_by]), base, target.metric)
    again = fit_maps(common.source, common.target, target.metric)
    whole = next(one for one in again if one.method == best.method)
    return FittedBridge(whole, count, recall(truth, answers), size, len(base))


class Bridges:
    """Reads what two pairs have in common, and keeps and opens bridges."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._artifacts = resources.catalog, resources.artifacts
        self._vectors_of = resources.vectors_of
        self._open: dict[str, BridgeMap] = {}
        self._lock = threading.Lock()

    def common(self, source: Pair, target: Pair, *, seed: int | None = None) -> CommonVectors:
        """Vectors of texts that both pairs have embedded, `FIT_ROWS` and those held out at most.

        Args:
            source: The pair whose embedder will embed the queries.
            target: The pair in whose space they are to be compared.
            seed: Of the draw; None draws anew.

        Returns:
            The vectors, in one random order.

        Raises:
            PairStateError: They have fewer than `LEAST_TEXTS` texts in common.
        """
        tombstones = dict(self._catalog.ledger.tombstones())
        (mine, my_rows), (theirs, their_rows) = (self._own_chunks(pair, tombstones) for pair in (source, target))
        place = np.asarray(pc.fill_null(pc.index_in(mine, value_set=theirs), -1), dtype=np.int64)
        both = np.flatnonzero(place >= 0)
        if len(both) < LEAST_TEXTS:
            raise PairStateError(
                f"{source.name!r} and {target.name!r} hold vectors of {len(both)} texts in common; a bridge needs "
                f"{LEAST_TEXTS}",
                hint="bring both up to date: `vecrollback catch-up`; pairs that chunk differently share few texts",
            )
        random = np.random.default_rng(seed)
        both = random.permutation(both)[: FIT_ROWS + 2 * _HELD_OUT]
        return CommonVectors(
            self._read(source, my_rows[both]),
            self._read(target, their_rows[place[both]]),
        )

    def keep(self, source: Pair, target: Pair, fitted: FittedBridge, worth: BridgeWorth) -> Bridge:
        """Write a bridge and register it. From then on it is the one from `source` to `target`.

        Raises:
            UnknownNameError: A pair was forgotten meanwhile.
        """
        new = Bridge(
            number=0,
            source=source.name,
            target=target.name,
            source_fingerprint=source.fingerprint,
            target_fingerprint=target.fingerprint,
            artifact="",
            method=fitted.map.method,
            rows=fitted.rows,
            worth=worth,
            created_at=now(),
        )
        name = self._artifacts.put_bytes(".bridge.npz", fitted.map.encoded(asdict(new)))
        new = replace(new, artifact=name)
        return self._catalog.bridges.add(new, present=lambda: self._artifacts.expect(name))

    def open(self, bridge: Bridge) -> BridgeMap:
        """The map, with its digest compared; kept open. Raises CorruptArtifactError."""
        with self._lock:
            if bridge.artifact not in self._open:
                if len(self._open) >= _OPEN_MAPS:
                    self._open.clear()
                self._open[bridge.artifact] = decode_map(self._artifacts.read_bytes(bridge.artifact))
            return self._open[bridge.artifact]

    def _own_chunks(self, pair: Pair, tombstones: dict[str, int]) -> tuple[pa.Array, NDArray[np.int64]]:
        """Keys (text and span) of the chunks that count and that the pair's own model made, and their row numbers."""
        vectors = self._vectors_of(pair)
        keys = vectors.keys(pair.vectors_version)
        rows = newest(keys, tombstones)
        own = pa.array(sorted(self._catalog.equivalences.of(pair.fingerprint)), pa.string())
        made_here = np.asarray(pc.is_in(vectors.fingerprints(pair.vectors_version), value_set=own), dtype=bool)
        rows = rows[(np.asarray(keys["ordinal"])[rows] >= 0) & made_here[rows]]
        columns = keys.select(["content_hash", "start", "end"]).take(pa.array(rows))
        parts = [
            pc.cast(columns["content_hash"], pa.binary()),
            *(pc.cast(pc.cast(columns[name], pa.string()), pa.binary()) for name in ("start", "end")),
        ]
        return pc.binary_join_element_wise(*parts, b":").combine_chunks(), rows

    def _read(self, pair: Pair, rows: NDArray[np.int64]) -> FloatArray:
        """Vectors of these rows, in this order. Read in ascending order, which is how they lie on disk."""
        order = np.argsort(rows)
        vectors = np.empty((len(rows), pair.dimension), np.float32)
        vectors[order] = self._vectors_of(pair).read(pair.vectors_version, rows[order]).vectors
        return vectors
