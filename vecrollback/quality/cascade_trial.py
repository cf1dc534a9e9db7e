"""May a pair serve before it is whole? The same queries are asked of it, by cascade, and of the pair before it.

The queries are judged: golden ones, else some that are generated from the corpus, which can show that the cascade is
worse and not that it is better. One after the other is asked, in a random order, until something is shown. What it
embeds for them is kept: it is work that the build need not do again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from vecrollback.pairs.resources import Resources
from vecrollback.quality.evaluation.query_sets import MOST_QUERIES, QuerySet, choose_queries
from vecrollback.quality.rank_estimates import DEPTH
from vecrollback.quality.sequential_difference import not_worse
from vecrollback.records import Cascade, CascadeTrial, Hit, SearchOptions, Verdict
from vecrollback.serving.cascade import CascadeAnswers, CascadeSides
from vecrollback.serving.hybrid import KeywordAnswers
from vecrollback.serving.masks import Filter
from vecrollback.serving.on_demand import Keep
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPairs

_AT_ONCE = 5
"""Queries between two looks."""
_WRITTEN_EVERY = 50
"""Queries, after which what was embedded for them is written."""

Watch = Callable[[int, int], None]
"""Called with how many queries were asked, of how many at most. What it raises ends the trial."""


def _unwatched(_asked: int, _most: int) -> None:
    """Nobody looks."""


class CascadeTrials:
    """Asks queries of pairs that are not whole, on open pairs of its own, apart from those that serve."""

    def __init__(self, resources: Resources, keep: Keep) -> None:
        self._resources, self._catalog, self._corpus = resources, resources.catalog, resources.corpus
        # Queries of a trial are nobody's: they are not counted as answered.
        self._keep: Keep = lambda pair, made, _, patience: keep(pair, made, 0, patience)
        self._pairs = BorrowedPairs(resources)

    def run(self, cascade: Cascade, *, seed: int, watch: Watch = _unwatched) -> CascadeTrial:
        """Ask queries until something is shown.

        Args:
            cascade: The pair, the one before it, and the budget. The pair has a snapshot already.
            seed: Of the queries and their order.
            watch: Called after every few queries.

        Returns:
            How the two compared. `unknown` where the queries ended first, there are none, or generated ones show no
            harm.

        Raises:
            EmbeddingError: A model does not answer.
            EmbedderChangedError: It is another one by now.
        """
        return self._asked(replace(cascade, trial=CascadeTrial(seed)), MOST_QUERIES, watch, until_shown=True)

    def go_on(self, cascade: Cascade, queries: int) -> CascadeTrial:
        """Ask a few more of the same queries, of a pair that serves. Once all were asked there is no more to say.

        Args:
            cascade: The pair, with its trial so far.
            queries: How many to ask at most.

        Returns:
            The trial with these. Only `fail` ends anything: a pair that was let serve is not judged again for less.

        Raises:
            As `run`.
        """
        return self._asked(cascade, queries, _unwatched, until_shown=False)

    def close(self) -> None:
        """Let go of the pairs that are held open. Idempotent."""
        self._pairs.close()

    def _asked(self, cascade: Cascade, most: int, watch: Watch, *, until_shown: bool) -> CascadeTrial:
        queries = self._queries(cascade.trial.seed)
        if cascade.trial.new and queries.kind != cascade.trial.kind:
            return cascade.trial  # golden queries were written, or removed, since: two kinds are not one trial
        trial = replace(cascade.trial, kind=queries.kind)
        queries = replace(queries, queries=queries.queries[len(trial.new) :][:most])
        if not queries.queries:
            return trial
        words = KeywordAnswers(self._resources, OpenPairs(self._resources))
        with self._pairs.pairs(cascade.pair, cascade.source) as [new, old]:
            answers = CascadeAnswers(self._resources, OpenPairs(self._resources), words, self._keep, soon=False)
            sides = answers.sides(new, old, replace(cascade, per_second=1_000_000))  # nobody waits
            try:
                for first in range(0, len(queries.queries), _AT_ONCE):
                    asked = replace(queries, queries=queries.queries[first : first + _AT_ONCE])
                    trial = _with(trial, *_values(answers, sides, asked))
                    watch(len(trial.new), len(queries.queries))
                    if len(trial.new) % _WRITTEN_EVERY == 0:
                        answers.hand_over()
                    if until_shown and _shown(trial) != "unknown":
                        break
            finally:
                answers.close()
                words.close()
        return trial

    def _queries(self, seed: int) -> QuerySet:
        """Judged queries in a random order, the same for one seed while nobody edits them."""
        chosen = choose_queries(self._catalog, self._corpus, seed=seed)
        if chosen.kind != "golden":
            return chosen
        order = np.random.default_rng(seed).permutation(len(chosen.queries))[:MOST_QUERIES]
        return replace(chosen, queries=[chosen.queries[place] for place in order.tolist()])


def _values(answers: CascadeAnswers, sides: CascadeSides, queries: QuerySet) -> tuple[list[float], list[float]]:
    """NDCG of each query, by the pair before and by the cascade."""
    assert sides.old is not None
    old = queries.search(sides.old.view, sides.old.queries.embed_proven(queries.texts))
    vectors, texts = sides.new.queries.embed_proven(queries.texts), queries.texts
    new: list[list[Hit]] = [[] for _ in texts]
    for namespace, places in queries.by_namespace():
        only, options = (None if namespace is None else Filter(namespace)), SearchOptions(DEPTH, None, namespace or "")
        asked = [texts[place] for place in places]
        for place, answer in zip(places, answers.answer(sides, vectors[places], options, only, asked), strict=True):
            new[place] = answer.hits
    return queries.ndcg(old).tolist(), queries.ndcg(new).tolist()


def _with(trial: CascadeTrial, old: Sequence[float], new: Sequence[float]) -> CascadeTrial:
    """The trial with these queries."""
    trial = replace(trial, old=(*trial.old, *old), new=(*trial.new, *new))
    shown = _shown(trial)
    # A generated query holds words of its document, and so do the candidates of a cascade: such queries flatter it.
    # They may keep a pair out, and let none in.
    return replace(trial, verdict="unknown" if shown == "pass" and trial.kind != "golden" else shown)


def _shown(trial: CascadeTrial) -> Verdict:
    # Without a margin: who changes to a pair that is not better gains nothing by not waiting for its index.
    return not_worse([b - a for a, b in zip(trial.old, trial.new, strict=True)], margin=0.0)
