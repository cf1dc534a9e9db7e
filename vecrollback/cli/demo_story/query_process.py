"""The query process of the demo: it asks all the time while the story moves `live`, and proves every answer.

An answer is mixed when a hit's score is not what the model of the pair it names gives for that text and query; it is
failed when it raises. Run as `python -m vecrollback.cli.demo_story.query_process STORE QUERIES STOP-FILE`; prints one
JSON line.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np

from vecrollback.embedders import Embedder, open_embedder
from vecrollback.records import Result
from vecrollback.store.store import Store, connect

_TOLERANCE = 1e-4
_PAUSE_SECONDS = 0.005


class Witness:
    """Recomputes scores with embedders of its own, keeping the vectors of texts it has seen."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._opened: dict[str, Embedder] = {}
        self._vectors: dict[tuple[str, str, str], np.ndarray[tuple[int], np.dtype[np.float32]]] = {}

    def mixed(self, query: str, result: Result) -> bool:
        """Whether the first hit's score was made by anything but the model of the pair the answer names."""
        hit = next((hit for hit in result.hits if not hit.stale), None)
        if hit is None:
            return False
        query_vector, text_vector = (
            self._vector(result.pair, "query", query),
            self._vector(result.pair, "text", hit.text),
        )
        return abs(float(query_vector @ text_vector) - hit.score) > _TOLERANCE

    def _vector(self, pair: str, kind: str, text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        key = (pair, kind, text)
        if key not in self._vectors:
            if pair not in self._opened:
                self._opened[pair] = open_embedder(self._store.pair(pair).embedder)
            embedder = self._opened[pair]
            embed = embedder.embed_queries if kind == "query" else embedder.embed_documents
            self._vectors[key] = embed([text])[0]
        return self._vectors[key]


def main(uri: str, queries: Path, stop: Path) -> None:
    """Query until the stop file appears."""
    texts = [json.loads(line)["text"] for line in queries.read_text(encoding="utf-8").splitlines()]
    counts = {"answers": 0, "failed": 0, "mixed": 0}
    by_pair: dict[str, int] = {}
    with connect(uri) as store, store.searcher() as searcher:
        witness = Witness(store)
        searcher.search(texts[0], k=5)
        print("ready", flush=True)
        for text in cycle(texts):
            if stop.exists():
                break
            try:
                result = searcher.search(text, k=5)
            except Exception as error:
                counts["failed"] += 1
                print(f"failed: {error}", file=sys.stderr)
                continue
            counts["answers"] += 1
            by_pair[result.pair] = by_pair.get(result.pair, 0) + 1
            counts["mixed"] += witness.mixed(text, result)
            time.sleep(_PAUSE_SECONDS)
    print(json.dumps(counts | {"by_pair": by_pair}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
