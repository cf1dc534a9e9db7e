"""Does a forecast tell which of two models is better, and is the truth in its interval? Real models and collections.

For every two models of every collection a store with one of them live is asked to forecast the other one, several
times, with at most a twentieth of the documents embedded. The truth is what a pair of the other model answers. The
vectors come from the folder that `benchmarks/bridges.py --keep FOLDER` has filled.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
from bridges import MODELS, Collection, Side, collections, installed, ndcg, side
from numpy.typing import NDArray

_TABLE: dict[str, dict[str, NDArray[np.float32]]] = {name: {} for name in MODELS}


def _embedder(name: str) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    return lambda texts: np.stack([_look_up(name, text) for text in texts])


def _look_up(name: str, text: str) -> NDArray[np.float32]:
    found = _TABLE[name].get(text)
    if found is None:  # a probe: any fixed vector will do, the same for the same text
        size = len(next(iter(_TABLE[name].values())))
        found = np.random.default_rng(abs(hash(text)) % (1 << 32)).standard_normal(size).astype(np.float32)
    return found


l3, wordllama, sre, minilm = map(_embedder, MODELS)


def main() -> None:
    parser = common.parser(__doc__ or "", MODELS)
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="forecasts of every two models")
    options = parser.parse_args()
    sys.modules["forecast"] = sys.modules[__name__]  # the embedders are opened by this name
    os.environ["VECROLLBACK_ALLOW"] = "forecast:*"  # they are code
    rows: list[dict[str, Any]] = []
    with common.workspace(options.keep) as folder:
        for collection in collections(small=options.small):
            sides = {name: side(collection, name, folder) for name in installed(options.only, options.keep)}
            rows += _forecasts(collection, sides, options.seeds, "60%" if options.small else "5%")
    decided = [row for row in rows if row["low"] > 0 or row["high"] < 0]
    summary = {
        "runs": len(rows),
        "covered": round(float(np.mean([row["low"] <= row["truth"] <= row["high"] for row in rows])), 3),
        "decided": len(decided),
        "wrong_sign": sum((row["low"] > 0) != (row["truth"] > 0) for row in decided),
        "most_embedded": max(row["share"] for row in rows),
    }
    print(summary)
    common.conclude("forecast", summary | {"rows": rows}, small=options.small, corpus="SciFact; 6,000 Debian texts")


def _forecasts(collection: Collection, sides: dict[str, Side], seeds: int, share: str) -> list[dict[str, Any]]:
    from vecrollback import Document, connect

    texts = [query.text for query in collection.queries]
    for name, vectors in sides.items():
        _TABLE[name] = dict(zip(collection.texts, vectors.documents, strict=True))
        _TABLE[name] |= dict(zip(texts, vectors.queries, strict=True))
    truth = {name: float(ndcg(collection, one.queries, one.documents).mean()) for name, one in sides.items()}
    rows = []
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "store", create=True) as store:
        store.upsert(Document(id_, text) for id_, text in zip(collection.ids, collection.texts, strict=True))
        store.resources.catalog.golden.put(collection.queries)
        for live in sides:
            store.reembed(f"forecast:{live}", name=live, index="Flat").wait()
            store.promote(live, override=True, reason="a benchmark")
            for other in sides:
                for seed in range(seeds if other != live else 0):
                    one = store.forecast(f"forecast:{other}", sample=share, seed=seed)
                    row = {
                        "collection": collection.name,
                        "live": live,
                        "model": other,
                        "verdict": one.verdict,
                        "difference": round(one.difference.difference, 3),
                        "low": round(one.difference.low, 3),
                        "high": round(one.difference.high, 3),
                        "truth": round(truth[other] - truth[live], 3),
                        "share": round(one.sample / one.documents, 4),
                    }
                    rows.append(row)
                    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return rows


if __name__ == "__main__":
    main()
