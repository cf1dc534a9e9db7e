"""What does a service's own work with documents take: a visible write, filters of each kind, namespaces, words?

One store of real texts; the model costs nothing (`hash:`), so what is measured is the rest. Filters are evaluated over
the whole log each time, as for the first query after a write: a key that every document has in one type, one that one
document in fifty has, one whose values are lists, and one with values of several types. Milliseconds, median of rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import common

from vecrollback import Document, Store, connect
from vecrollback.corpus.selection import DocumentSet

_TENANTS = 20


def main() -> None:
    options = common.options(__doc__)
    count, rounds = (500, 3) if options.small else (100_000, 7)
    with common.workspace(options.keep) as root, connect(root / "store", create=True, embedder="hash:64") as store:
        _fill(store, count)
        numbers = {"documents": store.count(), "rounds": rounds, **_measure(store, rounds)}
    common.conclude("data_plane", numbers, small=options.small)


def _fill(store: Store, count: int) -> None:
    rows = [Document(row.id, row.whole, _metadata(n)) for n, row in enumerate(common.rows(count))]
    for first in range(0, len(rows), 5_000):
        store.upsert(rows[first : first + 5_000])
    store.catch_up(store.live())


def _metadata(n: int) -> dict[str, object]:
    mixed: list[object] = [n, str(n), n % 2 == 0, [n]]
    rare = {"rare": n} if n % 50 == 0 else {}
    return {
        "user": f"user-{n % 1_000}",
        "year": 2000 + n % 25,
        "tags": [f"t{n % 7}", "all"],
        "mixed": mixed[n % 4],
        **rare,
    }


def _measure(store: Store, rounds: int) -> dict[str, float]:
    corpus = store.resources.corpus

    def evaluate(where: str) -> Callable[[int], object]:
        return lambda _: corpus.matching(DocumentSet.of(where, None), version=corpus.state().version)

    sides: dict[str, Callable[[int], object]] = {
        "visible_write": lambda n: store.upsert([Document(f"new-{n}", f"a new text, number {n}")], visible=True),
        "filter_dense": evaluate("user = 'user-7' AND year > 2010"),
        "filter_sparse": evaluate("rare > 1000"),
        "filter_list": evaluate('{"tags": {"$contains": "t3"}}'),
        "filter_mixed": evaluate("mixed > 10"),
        "search": lambda n: store.search(f"what is known about number {n}"),
        "search_namespace": lambda n: store.search(f"number {n}", namespace=f"tenant-{n % _TENANTS}"),
        "keyword": lambda n: store.search(f"cells and proteins number {n}", mode="keyword"),
        "hybrid": lambda n: store.search(f"cells and proteins number {n}", mode="hybrid"),
    }
    begin = time.perf_counter()
    store.search("words", mode="keyword")
    numbers = {"keyword_first_s": round(time.perf_counter() - begin, 2)}
    for name, side in sides.items():
        side(-1)
        taken = []
        for number in range(rounds):
            start = time.perf_counter()
            side(number)
            taken.append(1_000 * (time.perf_counter() - start))
        numbers[f"{name}_ms"] = round(median(taken), 2)
    return numbers


if __name__ == "__main__":
    main()
