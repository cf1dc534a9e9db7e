"""Two pairs over the same queries: measures, significance, and where they differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from vecrollback.corpus.keywords import KeywordIndex
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.pairs.resources import Resources
from vecrollback.quality.evaluation import metrics
from vecrollback.quality.evaluation.generated_queries import live_keys
from vecrollback.quality.evaluation.run_queries import Words, ask, ask_in_turns, latency
from vecrollback.quality.evaluation.significance import difference
from vecrollback.records import (
    AnsweredQuery,
    Comparison,
    Difference,
    GoldenQuery,
    Latency,
    Progress,
    ProgressCallback,
    SearchMode,
    key_parts,
)
from vecrollback.records.results import overlap
from vecrollback.serving.open_pairs import BorrowedPairs

SHOWN = ("ndcg", "recall", "mrr")
_MAX_K = 1_000


class Quality:
    """Asks pairs the same queries, on open pairs of its own, apart from those that serve."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus, self._pairs = resources.catalog, resources.corpus, BorrowedPairs(resources)
        self._words = KeywordIndex(resources.corpus, resources.cache)

    def compare(
        self,
        a: str,
        b: str,
        queries: Sequence[GoldenQuery] | None = None,
        *,
        k: int = 10,
        mode: SearchMode = "vector",
        progress: ProgressCallback | None = None,
    ) -> Comparison:
        """How two pairs answer `queries`, by default the golden set, each asked of both in turns.

        `mode`: "hybrid" joins each pair's answers with those by words, as a search does. Words alone are the same
        whichever pair serves, so there is nothing to compare in them.

        Raises UsageError without queries, UnknownNameError, PairStateError.
        """
        golden = self.required(queries)
        if not 1 <= k <= _MAX_K:
            raise UsageError(f"k is {k}; it must be from 1 to {_MAX_K}")
        words = self._beside(mode)
        with self._pairs.pairs(a, b) as both:
            refs = [open_pair.view.snapshot.ref for open_pair in both]
            report = _reporter(progress, len(golden))
            answers, seconds = ask_in_turns(both, [q.text for q in golden], k, report, words)
        rankings = [_ids(keys) for keys in answers]
        values = [metrics.judged_values(golden, ranking, k, SHOWN) for ranking in rankings]
        answers_by_query = tuple(
            AnsweredQuery(q.id, q.text, va, vb, overlap(ra, rb), metrics.rank_biased_overlap(ra, rb))
            for q, va, vb, ra, rb in zip(golden, *values, *answers, strict=True)
        )
        shares = [metrics.unjudged(golden, ranking) for ranking in rankings]
        return Comparison(
            a=refs[0],
            b=refs[1],
            k=k,
            queries=len(golden),
            judged=sum(query.judged for query in golden),
            absent=self.absent(golden),
            unjudged=(shares[0], shares[1]),
            overlap=sum(one.overlap for one in answers_by_query) / len(answers_by_query),
            rbo=sum(one.rbo for one in answers_by_query) / len(answers_by_query),
            latency=(latency(seconds[0]), latency(seconds[1])),
            differences=_differences(answers_by_query, k),
            answered=answers_by_query,
            mode=mode,
        )

    def rankings(
        self, pairs: Sequence[str], queries: Sequence[GoldenQuery], k: int, mode: SearchMode = "vector"
    ) -> list[list[list[str]]]:
        """Ids of the answers of each pair, as golden queries name them; in batches, because they are not timed."""
        words = self._beside(mode)
        with self._pairs.pairs(*pairs) as open_pairs:
            return [_ids(ask(one, [query.text for query in queries], k, words=words)) for one in open_pairs]

    def golden_value(self, pair: str) -> float | None:
        """Mean nDCG@10 of a pair over the golden queries that are judged.

        None without one, or without the package that computes it.
        """
        queries = [query for query in self._catalog.golden.all() if query.judged]
        if not queries:
            return None
        try:
            [ranking] = self.rankings([pair], queries, 10)
            values = metrics.judged_values(queries, ranking, 10, ["ndcg"])
        except (MissingDependencyError, ImportError):
            return None
        return sum(one["ndcg@10"] for one in values) / len(values)

    def latencies(
        self, pairs: Sequence[str], queries: Sequence[GoldenQuery], k: int, mode: SearchMode = "vector"
    ) -> list[Latency]:
        """How long each pair takes for one query."""
        words = self._beside(mode)
        with self._pairs.pairs(*pairs) as open_pairs:
            texts = [query.text for query in queries]
            return [latency(seconds) for seconds in ask_in_turns(open_pairs, texts, k, words=words)[1]]

    def _beside(self, mode: SearchMode) -> Words | None:
        """What answers beside the vectors."""
        if mode not in ("vector", "hybrid"):
            raise UsageError(f"mode is {mode!r}", hint="'vector' or 'hybrid': words alone are the same for every pair")
        return partial(self._words.search, namespace=None) if mode == "hybrid" else None

    def close(self) -> None:
        """Let go of the pairs that are held open. Idempotent; the next comparison opens them again."""
        self._pairs.close()
        self._words.close()

    def required(self, queries: Sequence[GoldenQuery] | None) -> list[GoldenQuery]:
        """These queries, by default the golden set. Raises UsageError where there are none."""
        golden = self._catalog.golden.all() if queries is None else list(queries)
        if not golden:
            raise UsageError(
                "there is no query to ask",
                hint="`vecrollback golden add`, `vecrollback golden import`, or --queries FILE",
            )
        return golden

    def absent(self, queries: Sequence[GoldenQuery]) -> int:
        """How many of the documents that the queries expect are not in the corpus."""
        ids = sorted({id_ for query in queries for id_, grade in query.expected.items() if grade > 0})
        there = self._corpus.at_head(lambda state: self._corpus.get(ids, version=state.version))
        missing = set(ids) - there.keys()
        if missing:  # unless they are in a namespace: golden queries are asked of all of them together
            missing -= {key_parts(key)[1] for key in live_keys(self._corpus).to_pylist()}
        return len(missing)


def _ids(answers: Sequence[Sequence[str]]) -> list[list[str]]:
    """The ids in the keys of documents: a golden query judges an id, in whichever namespace it is."""
    return [[key_parts(key)[1] for key in keys] for keys in answers]


def _differences(answers: Sequence[AnsweredQuery], k: int) -> tuple[Difference, ...]:
    with_judgement = [one for one in answers if one.a]
    if not with_judgement:
        return ()
    names = [f"{name}@{k}" for name in SHOWN]
    return tuple(
        difference(name, [one.a[name] for one in with_judgement], [one.b[name] for one in with_judgement])
        for name in names
    )


def _reporter(progress: ProgressCallback | None, total: int) -> Callable[[int], None]:
    start = time.perf_counter()

    def report_count(count: int) -> None:
        if progress is not None:
            progress(Progress("", "asking both", count, total, 0, 0, 0, time.perf_counter() - start))

    return report_count
