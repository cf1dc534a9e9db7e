"""How good is a pair that serves before it is built, from its first query on, and what does that cost?

The whole way of the product, with real models: a store whose old pair is built, `promote --by cascade`, then every
judged query through a searcher. `cold`: without the trial, so that the first query meets a pair without a vector;
`tried`: as users get it, with a trial on one half of the judged queries as golden ones, and asked the other half.
`zipf`: 100,000 documents, known items asked for by Zipf's law, nothing built beside the queries; the share of the
corpus that was embedded along the way.
Vectors of real models are made once (`--keep FOLDER`); from then on a model is looked up in them, text by text, as the
product asks for it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import bridges
import common
import numpy as np
from numpy.typing import NDArray

import vecrollback
from vecrollback import Document, Store
from vecrollback.errors import GateRefusedError
from vecrollback.quality.evaluation.metrics import judged_values
from vecrollback.records import CascadeTrial, GoldenQuery

Floats = NDArray[np.float32]

SIDES = ("cold", "tried", "zipf")
_PAIRS = (("l3", "minilm"), ("wordllama", "minilm"), ("wordllama", "l3"), ("l3", "wordllama"))
_WORSE = (("minilm", "l3"), ("minilm", "wordllama"))
_RUNS = 2
"""Of every two models and every collection, each with another trial."""
_ZIPF_DOCUMENTS, _ZIPF_QUERIES, _MARKS = 100_000, 10_000, (10, 30, 100, 300, 1_000, 3_000, 10_000)
_FOLDER = "VECROLLBACK_BENCHMARK_FOLDER"
_UNLIMITED = 1_000_000
_NARROW = 64


def l3(texts: list[str]) -> Floats:
    """paraphrase-MiniLM-L3-v2, or what it made of these texts before."""
    return _looked_up("l3", texts)


def minilm(texts: list[str]) -> Floats:
    """all-MiniLM-L6-v2."""
    return _looked_up("minilm", texts)


def wordllama(texts: list[str]) -> Floats:
    """A static model."""
    return _looked_up("wordllama", texts)


def narrow(texts: list[str]) -> Floats:
    """The first dimensions of the static model alone, which was trained so that they can be cut off there."""
    return np.ascontiguousarray(wordllama(texts)[:, :_NARROW])


def main() -> None:
    options = common.parser(__doc__ or "", SIDES).parse_args()
    os.environ.setdefault("VECROLLBACK_ALLOW", "cascade:*")
    rows: list[dict[str, Any]] = []
    with common.workspace(options.keep) as folder:
        os.environ[_FOLDER] = str(folder)
        sides: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
            "cold": lambda: _measured(folder, small=options.small, tried=False),
            "tried": lambda: _measured(folder, small=options.small, tried=True),
            "zipf": lambda: _zipf(folder, small=options.small),
        }
        for side in options.only:
            for row in sides[side]():
                rows.append({"side": side, **row})
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    common.conclude("cascade", {"rows": rows}, small=options.small, corpus="SciFact; Debian known items; WordNet")


# -- real collections -------------------------------------------------------------------------------------------------


def _measured(folder: Path, *, small: bool, tried: bool) -> Iterator[dict[str, Any]]:
    models = set(bridges.installed(("l3", "minilm", "wordllama"), folder))
    for run in range(_RUNS if tried and not small else 1):
        for collection in bridges.collections(small=small):
            for old, new in (*_PAIRS, *(_WORSE if tried else ())):
                if {old, new} <= models:
                    for name in (old, new):
                        bridges.side(collection, name, folder)  # made here, so that no query waits for all of it
                    _table.cache_clear()
                    yield _of_pair(collection, old, new, folder, run=run, tried=tried)


def _of_pair(
    collection: bridges.Collection, old: str, new: str, folder: Path, *, run: int, tried: bool
) -> dict[str, Any]:
    sides = {name: bridges.side(collection, name, folder) for name in (old, new)}
    own = {name: bridges.ndcg(collection, side.queries, side.documents) for name, side in sides.items()}
    golden: list[GoldenQuery] = []
    if tried:
        order = np.random.default_rng(run).permutation(len(collection.queries))
        known, asked = order[: len(order) // 2], np.sort(order[len(order) // 2 :])
        golden = [collection.queries[n] for n in known]
        collection = replace(collection, queries=[collection.queries[n] for n in asked])
        own = {name: values[asked] for name, values in own.items()}
    with common.workspace(None) as place, _store(place, folder, collection, old) as store:
        facts = {
            "collection": collection.name,
            "models": f"{old} -> {new}",
            "old": round(float(own[old].mean()), 3),
            "whole": round(float(own[new].mean()), 3),
        }
        store.resources.catalog.golden.put(golden)
        start = time.monotonic()
        try:
            _begin(store, new, seed=run, tried=tried)
        except GateRefusedError as error:
            return {**facts, "served": False, "why": str(error).partition("\n")[0]}
        begun = store.cascades()[0]
        seconds = time.monotonic() - start
        values, embedded, by = _asked(store, collection)
        first = slice(0, len(values) // 6)
        return {
            **facts,
            "served": True,
            "ndcg@10": round(float(values.mean()), 3),
            "share": round(float(values.mean() / own[new].mean()), 3),
            "share_of_first_sixth": round(float(values[first].mean() / own[new][first].mean()), 3),
            "at_least_old": bool(values.mean() >= own[old].mean()),
            "embedded_a_query": round(float(np.mean(embedded)), 1),
            "most_embedded": int(max(embedded)),
            "by_cascade": by.count("cascade"),
            "of": len(by),
            "documents_embedded_before": begun.covered,
            "trial": len(begun.trial.new),
            "seconds_to_serve": round(seconds, 1),
        }


def _store(place: Path, folder: Path, collection: bridges.Collection, model: str) -> Store:
    """A store whose old pair serves; built once, and copied for every run."""
    template = folder / f"{collection.name}-{model}.store"
    if not template.exists():
        with vecrollback.connect(place / "template", create=True) as store:
            store.upsert([Document(id_, text) for id_, text in zip(collection.ids, collection.texts, strict=True)])
            store.promote(store.reembed(f"cascade:{model}", name="old", index="Flat").wait())
        shutil.copytree(place / "template", template)
    shutil.copytree(template, place / "store")
    return vecrollback.connect(place / "store")


def _begin(store: Store, model: str, *, seed: int, tried: bool) -> None:
    how: dict[str, Any] = {"by": "cascade", "embedder": f"cascade:{model}", "per_second": _UNLIMITED}
    with mock.patch("vecrollback.store.cascades.random.randrange", return_value=seed):
        if tried:
            store.promote("new", **how)
            return
        with mock.patch("vecrollback.quality.cascade_trial.CascadeTrials.run", lambda *_, **__: CascadeTrial(seed)):
            store.promote("new", override=True, reason="measured without a trial", **how)


def _asked(store: Store, collection: bridges.Collection) -> tuple[NDArray[np.float64], list[int], list[str]]:
    """Ask one after the other: the nDCG of each, the texts embedded for it, and what answered it."""
    rankings: list[list[str]] = []
    embedded: list[int] = []
    by: list[str] = []
    with store.searcher() as searcher:
        for query in collection.queries:
            result = searcher.search(query.text, k=10)
            rankings.append([hit.id for hit in result.hits])
            embedded.append(int((result.measured or {}).get("embedded", 0)))
            by.append(result.answered_by)
    values = judged_values(collection.queries, rankings, 10, ["ndcg"])
    return np.array([one["ndcg@10"] for one in values]), embedded, by


# -- traffic by Zipf's law --------------------------------------------------------------------------------------------


def _zipf(folder: Path, *, small: bool) -> Iterator[dict[str, Any]]:
    """A narrow static model's pair serves, the whole model's is new: what is embedded depends on neither's speed."""
    count, asked = (400, 100) if small else (_ZIPF_DOCUMENTS, _ZIPF_QUERIES)
    rows = [row for row in common.rows(200_000 if not small else 1_000) if row.title][:count]
    random = np.random.default_rng(3)
    order, weights = random.permutation(len(rows)), 1 / np.arange(1, len(rows) + 1)
    drawn = order[random.choice(len(rows), asked, p=weights / weights.sum())]
    template = folder / f"zipf-{count}.store"
    with common.workspace(None) as place:
        if not template.exists():
            with vecrollback.connect(place / "template", create=True) as store:
                store.upsert([Document(row.id, row.text[:300]) for row in rows])
                store.promote(store.reembed("cascade:narrow", name="old", index="Flat").wait())
            shutil.copytree(place / "template", template)
        shutil.copytree(template, place / "store")
        with vecrollback.connect(place / "store") as store:
            _begin(store, "wordllama", seed=1, tried=False)
            yield from _asked_by_zipf(store, rows, drawn.tolist())


def _asked_by_zipf(store: Store, rows: Sequence[common.Row], drawn: Sequence[int]) -> Iterator[dict[str, Any]]:
    with store.searcher() as searcher:
        start, seconds = time.monotonic(), []
        by: list[str] = []
        for number, place_of in enumerate(drawn, 1):
            began = time.perf_counter()
            by.append(searcher.search(rows[place_of].title, k=10).answered_by)
            seconds.append(time.perf_counter() - began)
            if number in _MARKS or number == len(drawn):
                searcher._cascade.hand_over()
                [cascade] = store.cascades()
                yield {
                    "documents": len(rows),
                    "queries": number,
                    "distinct": len(set(drawn[:number])),
                    "share_embedded": round(cascade.covered / len(rows), 4),
                    "embedded": cascade.embedded,
                    "by_cascade": by.count("cascade"),
                    "p50_ms": round(1000 * common.percentile(seconds, 50), 1),
                    "p99_ms": round(1000 * common.percentile(seconds, 99), 1),
                    "minutes": round((time.monotonic() - start) / 60, 1),
                }
                seconds = []


# -- models that are looked up ----------------------------------------------------------------------------------------


def _looked_up(name: str, texts: Sequence[str]) -> Floats:
    table = _table(name)
    missing = [text for text in texts if text not in table]
    made = dict(zip(missing, _model(name)(missing), strict=True)) if missing else {}
    return np.stack([table[text] if text in table else made[text] for text in texts]).astype(np.float32)


@cache
def _model(name: str) -> Callable[[Sequence[str]], Floats]:
    return bridges._model(name)


@cache
def _table(name: str) -> Mapping[str, Floats]:
    """Text -> vector, of every collection whose vectors lie in the folder."""
    folder, table = Path(os.environ[_FOLDER]), dict[str, Floats]()
    for collection in _collections():
        file = folder / f"{collection.name}-{name}.npz"
        if file.exists():
            side = bridges.side(collection, name, folder)
            table |= zip(collection.texts, side.documents, strict=True)
            table |= zip((query.text for query in collection.queries), side.queries, strict=True)
    return table


@cache
def _collections() -> list[bridges.Collection]:
    return [*bridges.collections(small=False), *bridges.collections(small=True)]


if __name__ == "__main__":
    main()
