"""Searching: walk down what a screen ranks highest, learn from what turns out foreign, and look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecrollback.quality.purity.directions import Whitening, between, by_model, likelier, spread_otherwise, whiten
from vecrollback.quality.purity.examiner import Examiner, units
from vecrollback.quality.purity.results import Stage
from vecrollback.quality.purity.screens import Scores, Screening, distances, excess, hints, score
from vecrollback.quality.purity.suspects import Suspect
from vecrollback.quality.purity.text_model import MOST_TEXTS, TextModel
from vecrollback.quality.purity.text_screen import LEAST_TEXTS, read_texts
from vecrollback.records.arrays import FloatArray, Numbers

_SHORTEST_STEP, _STEP, _LONGEST_STEP = 16, 32, 64
_CLEAN = 0.75
"""Share of foreign rows up to which a walk meets own ones on its way: then more of those in a row end it."""
_FIRST_LOOK, _FIRST_STEP = 96, 16
_ONE_IN = 4
"""Of a first look one row in so many is one of the least usual of all, the others disagree with their texts."""

_SECOND_LOOK = 2_048
_LONG_POOL, _LONG = 1_000, 32
_BATCHES, _BATCH_ROWS, _BATCH_TRY = 32, 2, 8
_BATCH_RATE = 0.25
_SPOILS = 0.01
"""Share of the index from which on foreign vectors, found or not, count in what it takes for usual."""

_ENRICHED = 2.0
"""A walk goes on while it finds foreign rows at so many times the rate of rows at random."""

_PATIENCE = 216
"""Own rows that a walk by texts may meet along a suspect's way before it ends."""

_MOST_AMONG = 0.2
"""Share of the rows that may look like a suspect's: where more do, patience finds no more of them than chance."""

_DEVIATIONS = 3.0
"""A walk by texts ends so many standard deviations below the middle of a model's vectors."""

Pairs: TypeAlias = tuple[FloatArray, FloatArray]
"""Own and foreign vectors of the same texts."""


@dataclass(slots=True)
class _Way:
    """Where a suspect's vectors would lie: foreign rows found along it, and how many own ones it may still meet."""

    suspect: Suspect
    rows: list[int] = field(default_factory=list)
    patience: int = _PATIENCE


class Search:
    """The screens of one audit and what they have learned.

    `expected`: how many foreign rows a random sample suggests. `suspected`: open rows that a screen still points at.
    """

    def __init__(
        self, examiner: Examiner, survey: Screening, random: np.random.Generator, on_stage: Callable[[Stage], None]
    ) -> None:
        self.examiner, self.expected = examiner, 0.0
        self.suspected = 0
        self._population, self._survey, self._random, self._on_stage = examiner.population, survey, random, on_stage
        self._whitening: Whitening | None = None
        self._batches = self._population.batches()
        self._trained = self._whitened = 0
        self._explored = False
        self._texts: TextModel | None = None
        self._along = 0

    def follow(self, suspects: list[Suspect]) -> None:
        """Look where the vectors of each distinct suspect would lie; again, as long as many are found there.

        What is found along a suspect's direction teaches more of it than the reference alone did.
        """
        ways, gain = [_Way(one) for one in suspects if one.distinct], 1
        covered = np.zeros(self._population.count, dtype=bool)
        while ways and gain:
            before = self.examiner.finds
            until = max(_STEP, self.examiner.finds, int(_SPOILS * self._population.count))
            for way in (one for one in ways if one.patience > 0):
                count = len(self.examiner.foreign)
                pairs = self._with_pairs(way.suspect, way.rows)
                column = self._toward(*pairs)
                self._walk(column, pairs, until, way)
                way.rows.extend(self.examiner.foreign[count:])
                covered |= column >= column[self.examiner.foreign[count:]].min(initial=np.inf)
            gain = (self.examiner.finds - before) // (until // 4)
        count = len(self.examiner.foreign)
        apart = np.count_nonzero(covered & self._compared_own()) <= count // 10
        self._along = sum(len(way.rows) for way in ways if way.patience <= 0)
        if covered[self.examiner.foreign].all() and (apart or count < _SPOILS * self._population.count):
            self._trained = count  # nothing to learn that the suspects did not show

    def _explained(self) -> bool:
        """Whether what was found seems to be of suspects whose ways were walked to the end."""
        if self._along < _CLEAN * len(self.examiner.foreign):
            return False
        return len(np.unique(by_model(*self.examiner.pairs()))) == 1

    def _with_pairs(self, suspect: Suspect, rows: list[int]) -> tuple[FloatArray, FloatArray]:
        """Own vectors and the suspect's of the same texts: of the reference, and of foreign `rows`."""
        own_of_foreign = self.examiner.own_of_foreign()
        rows = [row for row in rows if row in own_of_foreign]
        if not rows:
            return suspect.own, suspect.vectors
        own = np.array([own_of_foreign[row] for row in rows], dtype=np.float32)
        foreign = units(self._population.vectors(np.array(rows, dtype=np.int64)))
        return np.concatenate([suspect.own, own]), np.concatenate([suspect.vectors, foreign])

    def _toward(self, own: FloatArray, foreign: FloatArray) -> Scores:
        """Of each row, how much it looks like these foreign vectors and not like own ones of the same texts."""
        if spread_otherwise(own, foreign, self.whitening):
            return distances(self._population, likelier(foreign, self.whitening), self._survey.lengths)
        direction = between(own, foreign, self.whitening)
        return np.asarray(score(self._population, direction[None], self._survey.lengths)[:, 0], dtype=np.float32)

    def look(self) -> None:
        """Learn from everything found so far and look again, until nothing more turns up."""
        while self.examiner.affordable(1) and self.examiner.left:
            pairs = len(self.examiner.foreign)
            if pairs > self._trained:
                self._trained = pairs
                if self._explained():
                    return
                gain = self._learn()
                if gain > pairs // 10 or gain >= _STEP:
                    continue
                return
            if self._explored or pairs:
                return
            self._explored = True
            if not self._explore():
                return

    def look_at_long_texts(self) -> None:
        """Another maximum length shows only there."""
        pool = self._pick(_LONG_POOL)
        rows, texts = self.examiner.with_text(pool)
        most = min(_LONG, self.examiner.affordable(4 * _LONG) // 4)
        longest = np.argsort([-len(text) for text in texts], kind="stable")[:most]
        self.examiner.examine(rows[longest], "long")
        self._on_stage("long")

    def look_at_batches(self) -> None:
        """A few rows of each ingest batch that differs from the rest as a whole."""
        if self._batches is None:
            return
        rows, sample = self._sample()
        white = sample @ self.whitening.root
        for batch in hints(self._batches, rows, white, limit=_BATCHES, random=self._random):
            self._examine_batch(batch, _BATCH_ROWS)
        self._on_stage("batch")

    def finish_batches(self, rows: Numbers) -> None:
        """After foreign `rows` that the screens had not pointed at: try their ingest batches, and finish those that are
        full of such rows.
        """
        if self._batches is None:
            return
        for batch in np.unique(self._batches[rows])[:_BATCHES].tolist():
            rows_there = self._examine_batch(batch, _BATCH_TRY)
            while len(rows_there) and self.examiner.is_foreign(rows_there).mean() >= _BATCH_RATE:
                rows_there = self._examine_batch(batch, _LONGEST_STEP)
        self._on_stage("batch")

    @property
    def whitening(self) -> Whitening:
        """Of the index, with own vectors in place of those found foreign, as soon as they are many."""
        count = len(self.examiner.foreign)
        if self._whitening is None or count - self._whitened > _SPOILS * self._population.count:
            self._whitened = count
            rows, sample = self._sample()
            own = self.examiner.own_of_foreign()
            for place, row in enumerate(rows.tolist()):
                if row in own:
                    sample[place] = own[row]
            self._whitening = whiten(sample)
        return self._whitening

    def _examine_batch(self, batch: int, most: int) -> Numbers:
        assert self._batches is not None
        rows = np.flatnonzero((self._batches == batch) & self.examiner.open)
        return self.examiner.examine(self._random.permutation(rows)[:most], "batch")

    def _learn(self) -> int:
        """Walk along the whitened paired difference of each model that the foreign rows seem to come from."""
        before = self.examiner.finds
        own, foreign = self.examiner.pairs()
        models = by_model(own, foreign)
        by_pairs = [(own[models == m], foreign[models == m]) for m in np.unique(models)]
        for pairs, column in [(pairs, self._toward(*pairs)) for pairs in by_pairs]:
            self._walk(column, pairs, until=max(_STEP, len(own)))
        return self.examiner.finds - before

    def _explore(self) -> bool:
        """Nothing is known but what is usual: look at what is not. Whether anything was found."""
        rows = self._first_look()
        for start in range(0, len(rows), _FIRST_STEP):
            before = self.examiner.finds
            self.examiner.examine(rows[start : start + _FIRST_STEP], "screen")
            self._on_stage("screen")
            if self.examiner.finds > before:
                return True
        return False

    def _first_look(self) -> Numbers:
        """Rows whose vectors disagree with their texts, in the sample, and the least usual ones of all."""
        unusual = self._order(distances(self._population, self.whitening.mahalanobis(), self._survey.lengths))
        every, sample = self._sample()
        rows, texts = self.examiner.with_text(every)
        if len(rows) < LEAST_TEXTS:
            return unusual[:_FIRST_LOOK]
        screen = read_texts(sample[np.isin(every, rows)], texts, self._random)
        by_text = rows[screen.conspicuous(self._random)]
        by_text = by_text[self.examiner.open[by_text]][:_FIRST_LOOK]
        turns = np.arange(_ONE_IN - 1, len(by_text), _ONE_IN - 1)
        both = np.insert(by_text, turns, unusual[: len(turns)]).tolist()
        return np.array(list(dict.fromkeys(both)), dtype=np.int64)[:_FIRST_LOOK]

    def _walk(self, scores: Scores, pairs: Pairs, until: int, way: _Way | None = None) -> None:
        """Examine from the highest score down, while it pays; then again, by what scores exceed what is to be expected.

        `until`: at most so many finds, then there is more to learn first; a quarter, once half of a step is in vain.
        """
        before = self.examiner.finds
        alike = not spread_otherwise(*pairs, self.whitening) and self._population.count >= LEAST_TEXTS
        self._descend(self._order(scores), until, brief=alike and way is not None)
        if self.examiner.finds - before < until // 4 and self.examiner.affordable(1):
            texts = self._texts_of(self._order(scores)) if alike else None
            if texts is not None:
                self._walk_by_text(texts, pairs, way)
            patience_left = way is not None and way.patience > 0
            if texts is not None and patience_left:
                self._descend(self._order(scores), until)
            if texts is None or patience_left:
                self._descend(self._second_look(scores), until)
        if not self.examiner.affordable(1):
            self.suspected = max(self.suspected, self._still_pointed_at(scores))

    def _walk_by_text(self, texts: TextModel, pairs: Pairs, way: _Way | None) -> None:
        """The same by what texts do not suggest; again after a few finds, whose texts then suggest what is true."""
        gain = _STEP
        while gain >= _STEP // 4 and (way is None or way.patience > 0):
            before = self.examiner.finds
            order, among = self._order_by_text(texts, *pairs)
            self._descend(order, _STEP, way=way if among <= _MOST_AMONG else None)
            gain = self.examiner.finds - before

    def _descend(self, order: Numbers, until: int, *, brief: bool = False, way: _Way | None = None) -> None:
        """`brief`: only as long as most are foreign. `way`: a suspect's, which ends with its patience for own rows."""
        place, before, gain, dense = 0, self.examiner.finds, 0, True
        outcomes: list[bool] = []
        while place < len(order) and self.examiner.affordable(1):
            step = min(max(_SHORTEST_STEP, gain // 2), _LONGEST_STEP) if dense else _SHORTEST_STEP
            rows = self.examiner.examine(order[place : place + step], "screen")
            place += step
            foreign = self.examiner.is_foreign(rows)
            dense = int(foreign.sum()) >= len(rows) / 2
            outcomes += foreign.tolist()
            self._on_stage("screen")
            if brief and foreign.mean() < _CLEAN:
                return
            if way is not None:
                way.patience -= int(np.count_nonzero(~foreign))
            if self._over(outcomes) if way is None else way.patience <= 0:
                return
            gain = self.examiner.finds - before
            if gain >= until or (gain >= until // 4 and not dense):
                return

    def _over(self, outcomes: list[bool]) -> bool:
        """Whether a walk that met these rows, foreign or not, is over.

        It is when no more of them are foreign than by chance, or after own ones in a row, fewer where the foreign ones
        before them stood together.
        """
        finds = np.flatnonzero(outcomes)
        last = int(finds[-1]) + 1 if len(finds) else 0
        together = sum(outcomes[:last][-_STEP:]) >= _CLEAN * min(last, _STEP)
        if len(outcomes) - last >= (_SHORTEST_STEP if together else _STEP):
            return True
        recent = outcomes[-_LONGEST_STEP:]
        by_chance = max(0.0, self.expected - self.examiner.finds) / max(1, self.examiner.left) * len(recent)
        return sum(recent) < _ENRICHED * by_chance

    def _second_look(self, scores: Scores) -> Numbers:
        """The open rows that score highest, by what they exceed their neighbours by. See `neighbours`."""
        order = self._order(scores)
        top = order[: min(_SECOND_LOOK, len(order) // 20)]
        rows, sample = self._sample()
        ahead = excess(scores[top], top, units(self._population.vectors(top)), sample, scores[rows], rows)
        return np.asarray(top[np.argsort(-ahead, kind="stable")], dtype=np.int64)

    def _order_by_text(self, texts: TextModel, own: FloatArray, foreign: FloatArray) -> tuple[Numbers, float]:
        """Open rows by how much more they look like these foreign vectors than their texts, and neighbours, suggest.

        Down to where hardly any vector of that model lies; and the share of all rows that lie above.
        """
        rows, vectors = texts.rows, units(self._population.vectors(texts.rows))
        own_of_foreign = self.examiner.own_of_foreign()
        usual = np.array([own_of_foreign.get(row, vector) for row, vector in zip(rows.tolist(), vectors, strict=True)])
        rest = usual - texts.suggest(usual)
        direction = between(own, foreign, whiten(rest[texts.at_random]))
        ahead = rest @ direction
        middle, spread = _middle(ahead[texts.at_random])
        shift = (foreign - own) @ direction
        least = middle + shift.mean() - _DEVIATIONS * np.hypot(spread, shift.std())
        top = np.flatnonzero(self.examiner.open[rows] & (ahead >= least))
        beyond = excess(ahead[top], rows[top], vectors[top], usual, ahead, rows)
        order = rows[top[np.argsort(-beyond, kind="stable")]]
        return np.asarray(order, dtype=np.int64), float(np.mean(ahead[texts.at_random] >= least))

    def _texts_of(self, order: Numbers) -> TextModel | None:
        """What texts say of vectors: of all where they are few, else of a sample and the first of `order`.

        None where too few have a text.
        """
        few = self._population.count <= MOST_TEXTS
        if few and self._texts is not None:
            return self._texts
        every, _ = self._sample()
        sample = every if few else self._random.permutation(every)[: MOST_TEXTS - _SECOND_LOOK]
        rows, texts = self.examiner.with_text(sample if few else np.union1d(sample, order[:_SECOND_LOOK]))
        if len(rows) < LEAST_TEXTS:
            return None
        self._texts = TextModel(rows, texts, np.isin(rows, sample), self._random)
        return self._texts

    def _sample(self) -> tuple[Numbers, FloatArray]:
        """Usable rows of the survey's sample, sorted, and their vectors at unit length."""
        rows = self._survey.sample_rows
        return rows[self._survey.usable[rows]], self._survey.directions()

    def _still_pointed_at(self, scores: Scores) -> int:
        """Open rows that score above every row known to be own."""
        own = scores[self._compared_own()]
        return int(np.count_nonzero(scores[self.examiner.open] > own.max(initial=-np.inf))) if len(own) else 0

    def _compared_own(self) -> NDArray[np.bool_]:
        """Rows that were compared and are own."""
        cosine = self.examiner.cosine
        return np.asarray(np.isfinite(cosine) & (cosine >= self.examiner.floor))

    def _order(self, scores: Scores) -> Numbers:
        rows = np.flatnonzero(self.examiner.open)
        return np.asarray(rows[np.argsort(-scores[rows], kind="stable")], dtype=np.int64)

    def _pick(self, most: int) -> Numbers:
        rows = np.flatnonzero(self.examiner.open)
        return np.asarray(self._random.choice(rows, min(most, len(rows)), replace=False), dtype=np.int64)


def _middle(values: FloatArray) -> tuple[float, float]:
    """Middle and standard deviation of what is usual among these values, whatever few others are."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
