"""A model dies, and a rollback goes to its pair by bridge: is what comes what was promised, and does no query fail?

The whole way of the product, with real models: the old pair served, the new one does, and the promote learned both
bridges, measured with one half of the judged queries as golden ones. Then the old pair's model is gone. The rollback is
asked for, and made all the same where it is refused; every judged query goes through a searcher. The promise is held
against the same queries, and against the other half. Vectors are kept as `benchmarks/bridges.py --keep FOLDER` does.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import bridges
import common
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_TABLE: dict[str, dict[str, Floats]] = {}
_gone: set[str] = set()


def _embed(name: str, texts: Sequence[str]) -> Floats:
    if name in _gone:
        raise ConnectionError(f"{name} was retired")
    table = _TABLE[name]
    missing = [text for text in texts if text not in table]  # probes, and queries that were generated
    if missing:
        table |= zip(missing, _model(name)(missing), strict=True)
    return np.stack([table[text] for text in texts]).astype(np.float32)


@cache
def _model(name: str) -> Callable[[Sequence[str]], Floats]:
    return bridges._model(name)


def l3(texts: list[str]) -> Floats:
    return _embed("l3", texts)


def wordllama(texts: list[str]) -> Floats:
    return _embed("wordllama", texts)


def sre(texts: list[str]) -> Floats:
    return _embed("sre", texts)


def minilm(texts: list[str]) -> Floats:
    return _embed("minilm", texts)


def main() -> None:
    options = common.parser(__doc__ or "", bridges.MODELS).parse_args()
    sys.modules["bridged_rollback"] = sys.modules[__name__]  # the embedders are opened by this name
    os.environ |= {"VECROLLBACK_ALLOW": "bridged_rollback:*", "VECROLLBACK_TRUST": "*"}
    rows = []
    with common.workspace(options.keep) as folder:
        names = bridges.installed(options.only, options.keep)
        for collection in bridges.collections(small=options.small):
            for row in _measured(collection, names, folder):
                rows.append(row)
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    common.conclude(
        "bridged_rollback", {"rows": rows}, small=options.small, corpus="SciFact; 6,000 Debian descriptions"
    )


def _measured(collection: bridges.Collection, names: Sequence[str], folder: Path) -> Iterator[dict[str, Any]]:
    from vecrollback import Document, connect

    for name in names:
        side = bridges.side(collection, name, folder)
        texts = [*collection.texts, *(query.text for query in collection.queries)]
        _TABLE[name] = dict(zip(texts, np.concatenate([side.documents, side.queries]), strict=True))
    golden = np.random.default_rng(0).permutation(len(collection.queries))[: len(collection.queries) // 2]
    with common.workspace(None) as place:
        with connect(place / "template", create=True) as store:
            store.upsert(Document(id_, text) for id_, text in zip(collection.ids, collection.texts, strict=True))
            store.resources.catalog.golden.put([collection.queries[n] for n in golden])
            for name in names:
                store.reembed(f"bridged_rollback:{name}", name=name, index="Flat").wait()
        for old in names:
            for new in names:
                if old != new:
                    shutil.copytree(place / "template", place / "store")
                    yield _rolled_back(place / "store", collection, (old, new), golden, folder)
                    _gone.clear()
                    shutil.rmtree(place / "store")


def _rolled_back(
    root: Path, collection: bridges.Collection, pairs: tuple[str, str], golden: NDArray[np.int64], folder: Path
) -> dict[str, Any]:
    from vecrollback import connect
    from vecrollback.errors import NoRollbackTargetError
    from vecrollback.quality.evaluation.metrics import judged_values

    old, new = pairs
    side = bridges.side(collection, old, folder)
    own = bridges.ndcg(collection, side.queries, side.documents)
    (root / "vecrollback.toml").write_text('[serving]\nfallback = ["bridge"]\n')
    with connect(root) as store:
        for name in pairs:
            store.promote(name, override=True, reason="a benchmark")
        [bridge] = [one for one in store.bridges() if (one.source, one.target) == (new, old)]
        _gone.add(old)
        store.ask_model(old)
        try:
            store.rollback(reason="a benchmark", catch_up=False)
            refused = False
        except NoRollbackTargetError:
            refused = True
            store.rollback(old, override=True, reason="a benchmark", catch_up=False)
    with connect(root) as store, store.searcher() as searcher:  # a process that starts when the model is gone
        results, failed = [], 0
        for query in collection.queries:
            try:
                results.append(searcher.search(query.text, k=10))
            except Exception:
                failed += 1
    if failed:
        return {"collection": collection.name, "gone": old, "by": new, "failed": failed}
    rankings = [[hit.id for hit in result.hits] for result in results]
    values = np.array([one["ndcg@10"] for one in judged_values(collection.queries, rankings, 10, ["ndcg"])])
    others = np.setdiff1d(np.arange(len(values)), golden)
    worth = bridge.worth
    promised, gain = worth.bridged or 0.0, worth.gain or 0.0
    source = bridges.side(collection, new, folder)
    against_staying = values - bridges.ndcg(collection, source.queries, source.documents)
    others_gain = float(against_staying[others].mean())
    return {
        "collection": collection.name,
        "gone": old,
        "by": new,
        "failed": failed,
        "by_bridge": sum(result.answered_by == "bridge" for result in results),
        "of": len(results),
        "ndcg@10": round(float(values.mean()), 3),
        "own": round(float(own.mean()), 3),
        "share": round(float(values.mean() / own.mean()), 3),
        "promised": round(promised, 3),
        "off_same_queries": round(abs(promised - float(values[golden].mean())), 3),
        "off_other_queries": round(abs(promised - float(values[others].mean())), 3),
        "gain": round(gain, 3),
        "gain_interval": [round(one or 0.0, 3) for one in (worth.gain_low, worth.gain_high)],
        "gain_off_all_queries": round(abs(gain - float(against_staying.mean())), 3),
        "gain_off_other_queries": round(abs(gain - others_gain), 3),
        "worse_than_staying": others_gain < 0,
        "verdict": bridge.verdict,
        "refused": refused,
        "stay": round(worth.stay or 0.0, 3),
    }


if __name__ == "__main__":
    main()
