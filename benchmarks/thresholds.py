"""What is a score threshold that was translated from one model to another worth? Real models, real collections.

For every two models a threshold of the first one, at which three answers a query pass, is translated with one half of
the judged queries, and with documents as queries. Then the other half of the queries says how many of the answers over
either threshold are over both; beside it, the same for the threshold as it is, and for the best one there could be.
Vectors come from the folder that `benchmarks/bridges.py --keep FOLDER` has filled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bridges
import common
import numpy as np
from numpy.typing import NDArray

from vecrollback.quality.thresholds import Answers, best_threshold

_DEPTH, _PASS, _DOCUMENTS = 50, 3, 300


def main() -> None:
    options = common.parser(__doc__ or "", bridges.MODELS).parse_args()
    rows = []
    with common.workspace(options.keep) as folder:
        for collection in bridges.collections(small=options.small):
            names = bridges.installed(options.only, options.keep)
            sides = {name: bridges.side(collection, name, folder) for name in names}
            for first in names:
                for second in names:
                    if first != second:
                        rows.append({"collection": collection.name, "from": first, "to": second})
                        rows[-1] |= _measured(sides[first], sides[second])
                        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    common.conclude("thresholds", {"rows": rows}, small=options.small, corpus="SciFact; 6,000 Debian descriptions")


def _measured(first: bridges.Side, second: bridges.Side) -> dict[str, Any]:
    random = np.random.default_rng(0)
    order = random.permutation(len(first.queries))
    known, asked = order[: len(order) // 2], order[len(order) // 2 :]
    scores = np.sort(first.queries[known] @ first.documents.T, axis=1)
    threshold = float(np.quantile(scores[:, -_PASS], 0.5))
    documents = random.permutation(len(first.documents))[:_DOCUMENTS]
    by_queries = list(_answers(first, second, threshold, known))
    by_documents = list(_answers(first, second, threshold, documents, of_documents=True))
    other_half = list(_answers(first, second, threshold, asked))
    told: dict[str, Any] = {"threshold": round(threshold, 3)}
    for name, score in {
        "queries": best_threshold(by_queries),
        "documents": best_threshold(by_documents),
        "untranslated": threshold,
        "best": best_threshold(other_half),
    }.items():
        told |= {name: round(score, 3), f"{name} same": round(_same(other_half, score), 3)}
    return told


def _answers(
    first: bridges.Side, second: bridges.Side, threshold: float, rows: NDArray[np.int64], *, of_documents: bool = False
) -> Iterator[tuple[set[str], list[tuple[str, float]]]]:
    mine, theirs = (
        (side.documents if of_documents else side.queries)[rows] @ side.documents.T for side in (first, second)
    )
    if of_documents:  # the nearest is the document itself
        mine[np.arange(len(rows)), rows] = theirs[np.arange(len(rows)), rows] = -np.inf
    for a, b in zip(mine, theirs, strict=True):
        best = np.argsort(-a)[:_DEPTH], np.argsort(-b)[:_DEPTH]
        yield {str(n) for n in best[0] if a[n] >= threshold}, [(str(n), float(b[n])) for n in best[1]]


def _same(answers: Answers, score: float) -> float:
    both = either = 0
    for through, hits in answers:
        over = {id_ for id_, value in hits if value >= score}
        both, either = both + len(through & over), either + len(through | over)
    return both / max(1, either)


if __name__ == "__main__":
    main()
