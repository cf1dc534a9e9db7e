"""Two pairs over the same queries: measures, significance, and where they differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from vecrollback.errors import UsageError
from vecrollback.pairs.resources import Resources
from vecrollback.quality.evaluation import metrics
from vecrollback.quality.evaluation.run_queries import ask, ask_in_turns, latency
from vecrollback.quality.evaluation.significance import difference
from vecrollback.records import AnsweredQuery, Comparison, Difference, GoldenQuery, Latency, Progress, ProgressCallback
from vecrollback.records.results import overlap
from vecrollback.serving.open_pairs import BorrowedPairs

SHOWN = ("ndcg", "recall", "mrr")
_MAX_K = 1_000


class Quality:
    """Asks pairs the same queries. Holds what it asks open apart from what serves."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus, self._borrowed = resources.catalog, resources.corpus, BorrowedPairs(resources)

    def compare(
        self,
        a: str,
        b: str,
        queries: Sequence[GoldenQuery] | None = None,
        *,
        k: int = 10,
        progress: ProgressCallback | None = None,
    ) -> Comparison:
        """How two pairs answer `queries`, by default the golden set, each asked of both in turns.

        Raises UsageError without queries, UnknownNameError, PairStateError.
        """
        asked = self.required(queries)
        if not 1 <= k <= _MAX_K:
            raise UsageError(f"k is {k}; it must be from 1 to {_MAX_K}")
        with self._borrowed.pairs(a, b) as both:
            refs = [held.view.snapshot.ref for held in both]
            answers, seconds = ask_in_turns(both, [q.text for q in asked], k, _told(progress, len(asked)))
        values = [metrics.judged_values(asked, ranked, k, SHOWN) for ranked in answers]
        answered = tuple(
            AnsweredQuery(q.id, q.text, va, vb, overlap(ra, rb), metrics.rank_biased_overlap(ra, rb))
            for q, va, vb, ra, rb in zip(asked, *values, *answers, strict=True)
        )
        shares = [metrics.unjudged(asked, ranked) for ranked in answers]
        return Comparison(
            a=refs[0],
            b=refs[1],
            k=k,
            queries=len(asked),
            judged=sum(query.judged for query in asked),
            absent=self.absent(asked),
            unjudged=(shares[0], shares[1]),
            overlap=sum(one.overlap for one in answered) / len(answered),
            rbo=sum(one.rbo for one in answered) / len(answered),
            latency=(latency(seconds[0]), latency(seconds[1])),
            differences=_differences(answered, k),
            answered=answered,
        )

    def rankings(self, pairs: Sequence[str], queries: Sequence[GoldenQuery], k: int) -> list[list[list[str]]]:
        """What each pair answers, untimed and therefore in batches."""
        with self._borrowed.pairs(*pairs) as held:
            return [ask(one, [query.text for query in queries], k) for one in held]

    def latencies(self, pairs: Sequence[str], queries: Sequence[GoldenQuery], k: int) -> list[Latency]:
        """How long each pair takes for one query."""
        with self._borrowed.pairs(*pairs) as held:
            return [latency(seconds) for seconds in ask_in_turns(held, [query.text for query in queries], k)[1]]

    def close(self) -> None:
        """Let go of the pairs that are held open. Idempotent; the next comparison opens them again."""
        self._borrowed.close()

    def required(self, queries: Sequence[GoldenQuery] | None) -> list[GoldenQuery]:
        """These queries, by default the golden set. Raises UsageError where there are none."""
        asked = self._catalog.golden.all() if queries is None else list(queries)
        if not asked:
            raise UsageError(
                "there is no query to ask",
                hint="`vecrollback golden add`, `vecrollback golden import`, or --queries FILE",
            )
        return asked

    def absent(self, queries: Sequence[GoldenQuery]) -> int:
        """How many documents that should be found the corpus does not hold."""
        wanted = sorted({id_ for query in queries for id_, grade in query.expected.items() if grade > 0})
        return len(wanted) - len(self._corpus.at_head(lambda state: self._corpus.get(wanted, version=state.version)))


def _differences(answered: Sequence[AnsweredQuery], k: int) -> tuple[Difference, ...]:
    judged = [one for one in answered if one.a]
    if not judged:
        return ()
    names = [f"{name}@{k}" for name in SHOWN]
    return tuple(difference(name, [one.a[name] for one in judged], [one.b[name] for one in judged]) for name in names)


def _told(progress: ProgressCallback | None, total: int) -> Callable[[int], None]:
    started = time.perf_counter()

    def done(count: int) -> None:
        if progress is not None:
            progress(Progress("", "asking both", count, total, 0, 0, 0, time.perf_counter() - started))

    return done
