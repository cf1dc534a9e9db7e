"""May a pair serve before it is whole? The same queries are asked of it, by cascade, and of the pair before it.

The queries are judged: golden ones, else some that are generated from the corpus, which can show that the cascade is
worse and not that it is better. One after the other is asked, in a random order, until something is shown. What it
embeds for them is kept: it is work that the build need not do again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from vecrollback.pairs.resources import Resources
from vecrollback.quality.bridge_proof import LEAST_QUERIES, MOST_QUERIES
from vecrollback.quality.evaluation.generated_queries import generate_queries
from vecrollback.quality.evaluation.metrics import judged_values
from vecrollback.quality.sequential_difference import not_worse
from vecrollback.records import Cascade, CascadeTrial, GoldenQuery, SearchOptions, Verdict
from vecrollback.serving.cascade import CascadeAnswers, CascadeSides
from vecrollback.serving.hybrid import KeywordAnswers
from vecrollback.serving.masks import Filter
from vecrollback.serving.on_demand import Keep
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPairs

_AT_ONCE = 5
"""Queries between two looks."""
_DEPTH = 10
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
        queries, kind = self._queries(cascade.trial.seed)
        trial = replace(cascade.trial, kind=kind)
        queries = queries[len(trial.new) :][:most]
        if not queries:
            return trial
        words = KeywordAnswers(self._resources, OpenPairs(self._resources))
        with self._pairs.pairs(cascade.pair, cascade.source) as [new, old]:
            answers = CascadeAnswers(self._resources, OpenPairs(self._resources), words, self._keep, soon=False)
            sides = answers.sides(new, old, replace(cascade, per_second=1_000_000))  # nobody waits
            try:
                for first in range(0, len(queries), _AT_ONCE):
                    trial = _with(trial, *_values(answers, sides, queries[first : first + _AT_ONCE]))
                    watch(len(trial.new), len(queries))
                    if len(trial.new) % _WRITTEN_EVERY == 0:
                        answers.hand_over()
                    if until_shown and _shown(trial) != "unknown":
                        break
            finally:
                answers.close()
                words.close()
        return trial

    def _queries(self, seed: int) -> tuple[list[GoldenQuery], Literal["golden", "generated", "none"]]:
        """Judged queries in a random order, the same for one seed while nobody edits them."""
        golden = [query for query in self._catalog.golden.all() if query.judged]
        if len(golden) < LEAST_QUERIES:
            generated = generate_queries(self._corpus, MOST_QUERIES // 2, seed=seed)
            return generated, "generated" if generated else "none"
        order = np.random.default_rng(seed).permutation(len(golden))[:MOST_QUERIES]
        return [golden[place] for place in order], "golden"


def _values(
    answers: CascadeAnswers, sides: CascadeSides, queries: Sequence[GoldenQuery]
) -> tuple[list[float], list[float]]:
    """NDCG of each query, by the pair before and by the cascade."""
    assert sides.old is not None
    texts = [query.text for query in queries]
    own = sides.old.view.search(sides.old.queries.embed_proven(texts), _DEPTH, Filter(""))
    vectors = sides.new.queries.embed_proven(texts)
    new = answers.answer(sides, vectors, SearchOptions(_DEPTH), Filter(""), texts)
    rankings = [[hit.id for hit in hits] for hits in own], [[hit.id for hit in one.hits] for one in new]
    old_values, new_values = (
        [one[f"ndcg@{_DEPTH}"] for one in judged_values(queries, ranking, _DEPTH, ["ndcg"])] for ranking in rankings
    )
    return old_values, new_values


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
