"""The active audit: screen everything, re-embed what looks foreign, learn from it, and certify the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from vecrollback.quality.purity.confidence_sequence import Draws
from vecrollback.quality.purity.examiner import NOT_FINITE, ZERO, Embed, Examiner, units
from vecrollback.quality.purity.harm import Harm, JudgedQueries, golden_harm, harm
from vecrollback.quality.purity.population import Population
from vecrollback.quality.purity.power import Keep
from vecrollback.quality.purity.results import (
    AuditProgress,
    AuditRequest,
    AuditResult,
    ProgressCallback,
    Share,
    Stage,
    Stopped,
)
from vecrollback.quality.purity.screens import survey
from vecrollback.quality.purity.search import Search
from vecrollback.quality.purity.storage_noise import recognise
from vecrollback.quality.purity.suspects import TRIED, introduce, name_culprits, sensitivity
from vecrollback.records import Certificate, Verdict
from vecrollback.records.arrays import Numbers

_REFERENCE, _REFERENCE_BESIDE_SUSPECTS, _REFERENCE_OF_CODES = 128, 48, 256
"""Rows to begin with; fewer where suspects embed them too, more to learn what a storage makes of vectors."""

_DRAW = 256
_FOR_REFERENCE, _FOR_SENSITIVITY = 0.05, 0.1
"""Shares of the allowed error: for what the reference alone says, and for the sensitivity where it is measured."""

_MOSTLY_FOREIGN = 0.5
_STRETCHES = 24
_HARM_QUERIES, _HARM_ROWS = 200, 2_000


def audit(
    population: Population,
    own: Embed,
    *,
    suspects: Mapping[str, Embed] | None = None,
    request: AuditRequest | None = None,
    judgements: Callable[[], JudgedQueries | None] = lambda: None,
    progress: ProgressCallback | None = None,
    keep: Keep | None = None,
) -> AuditResult:
    """Find the vectors that `own` did not make of their texts, and bound the share of those not looked at.

    A row is foreign if re-embedding its text shows it: cosine below the floor. Everything that points at rows, with or
    without `suspects`, only saves re-embeddings. At `confidence`, at most `certificate.bound` of the rows that were not
    examined are foreign, whatever the screens did, whenever it stopped: see `confidence_sequence`. With suspects the
    bound is divided by `certificate.sensitivity`, see `suspects.sensitivity`.

    `judgements` is called only when something is found: then the harm is also told as the nDCG of its queries, from one
    more pass over all vectors.

    `keep`: what the storage gives back of vectors put into it, where those come back changed. Before anything is said
    the audit measures what its comparison can tell in this index, see `power`; where that is too little the verdict is
    "unknown".

    It stops once the bound asked for is reached; once it is refuted, that is, more than that is foreign among the rows
    that no screen points at, or most of the index is; or when the budget is spent. Raises UsageError when `own` makes
    vectors of another dimension; whatever `own` raises passes through.
    """
    return _Audit(population, own, dict(suspects or {}), request or AuditRequest(), judgements, progress, keep).run()


class _Audit:
    def __init__(
        self,
        population: Population,
        own: Embed,
        suspects: dict[str, Embed],
        request: AuditRequest,
        judgements: Callable[[], JudgedQueries | None],
        progress: ProgressCallback | None,
        keep: Keep | None,
    ) -> None:
        self._population, self._suspects, self._request, self._progress = population, suspects, request, progress
        self._judgements = judgements
        self._random = np.random.default_rng(request.seed)
        self._survey = survey(population, self._random)
        self._storage = recognise(self._survey.sample[self._survey.usable[self._survey.sample_rows]])
        keep = keep or self._storage.keep()
        self._examiner = Examiner(population, own, request.floor, self._storage, request.budget, keep)
        self._keeps = keep is not None
        self._leave_out_unusable()
        self._search = Search(self._examiner, self._survey, self._random, self._report)
        error = 1 - request.confidence
        self._sensitivity_error = _FOR_SENSITIVITY * error if suspects or keep else 0.0
        self._reference = Draws(_FOR_REFERENCE * error)
        self._draws = Draws(error - self._sensitivity_error - _FOR_REFERENCE * error)
        self._sensitivity = 1.0
        self._missing = 0

    def run(self) -> AuditResult:
        reference = self._draw(self._reference_size(), "reference", self._reference)
        suspects = introduce(self._suspects, self._examiner, reference)
        self._sensitivity = sensitivity(suspects, self._sensitivity_error / 2)
        if self._examiner.power is not None:
            self._sensitivity = min(self._sensitivity, self._examiner.power.sensitivity(self._sensitivity_error / 2))
        stopped = self._hopeless(reference)
        if stopped is None:
            self._search.look_at_long_texts()
            self._search.follow(suspects)
            self._search.look_at_batches()
            self._search.look()
            self._search.finish_batches(reference[self._examiner.is_foreign(reference)])
            stopped = self._certify()
        self._examiner.reserved = 0
        culprit = name_culprits(self._suspects, self._examiner)
        return self._outcome(stopped, culprit)

    def _reference_size(self) -> int:
        """Rows to begin with; a third of the budget at most. Some of it is kept for naming who made what is found."""
        size, budget = _REFERENCE_BESIDE_SUSPECTS if self._suspects else _REFERENCE, self._request.budget
        size = _REFERENCE_OF_CODES if self._keeps else size
        if budget is None:
            return size
        self._examiner.reserved = min(TRIED * len(self._suspects), budget // 10)
        return min(size, max(1, budget // 3))

    # -- stages -------------------------------------------------------------------------------------------------------

    def _hopeless(self, reference: Numbers) -> Stopped | None:
        """Whether there is nothing to search for: most of the index is foreign, or its storage hides what it holds."""
        examiner = self._examiner
        share = float(np.mean(examiner.is_foreign(reference))) if len(reference) else 0.0
        self._search.expected = share * (examiner.left + len(reference))
        if self._storage.format in ("codes", "int8 by range") and not self._keeps and share > _MOSTLY_FOREIGN:
            return "lossy"
        power = examiner.power
        if power is not None and power.lacks and (not power.faithful or not examiner.foreign):
            return "lossy"
        least = self._reference.least(examiner.finds, examiner.left) + examiner.finds
        return "refuted" if examiner.left and least > _MOSTLY_FOREIGN * self._population.count else None

    def _certify(self) -> Stopped:
        """Draw from what is left until the bound is reached or refuted; after each find the screens look again."""
        examiner = self._examiner
        self._forget_missing()
        while examiner.left:
            if self._share(self._most()) <= self._request.bound:
                return "certified"
            if self._least() > self._request.bound * examiner.left:
                return "refuted"
            if not examiner.affordable(1):
                return "budget"
            rows = self._draw(min(self._draws_needed(), _DRAW), "random", self._draws)
            foreign = rows[examiner.is_foreign(rows)]
            if len(foreign):
                before = examiner.finds
                self._search.look()
                self._search.finish_batches(foreign)
                if examiner.finds > before:
                    self._draws.renew_belief()
        return "exhausted"

    def _draw(self, count: int, stage: Stage, account: Draws) -> Numbers:
        """Examine rows drawn uniformly from the open ones, and keep account of it.

        The reference has an account of its own: foreign rows seen before anything was learned would weaken the other.
        """
        examiner = self._examiner
        count = examiner.affordable(min(count, examiner.left))
        candidates = np.flatnonzero(examiner.open)
        rows = self._random.choice(candidates, min(count, len(candidates)), replace=False).astype(np.int64)
        rows, _ = examiner.with_text(rows)
        self._forget_missing()
        left, finds = examiner.left, examiner.finds
        rows = examiner.examine(rows, stage)
        account.add(examiner.is_foreign(rows), left=left, found=finds)
        self._report(stage)
        return rows

    def _forget_missing(self) -> None:
        """Rows without a text, all of them known as soon as one is met, could not have been drawn before either."""
        new = self._examiner.missing - self._missing
        for account in (self._reference, self._draws):
            account.drop_missing(new)
        self._missing += new

    def _draws_needed(self) -> int:
        """Clean draws that would reach the bound."""
        examiner = self._examiner
        low, high = 1, examiner.left
        while low < high:
            middle = (low + high) // 2
            left = examiner.left - middle
            most = self._draws.after_clean(middle, examiner.finds, examiner.left)
            if not left or most / left / self._sensitivity <= self._request.bound:
                high = middle
            else:
                low = middle + 1
        return low

    def _leave_out_unusable(self) -> None:
        lengths = self._survey.lengths
        self._examiner.leave_out(np.flatnonzero(np.isnan(lengths)).tolist(), NOT_FINITE)
        self._examiner.leave_out(np.flatnonzero(lengths == 0).tolist(), ZERO)

    # -- telling ------------------------------------------------------------------------------------------------------

    def _share(self, count: int) -> float:
        left = self._examiner.left
        return min(1.0, count / left / self._sensitivity) if left and count else 0.0

    def _most(self) -> int:
        return min(one.most(self._examiner.finds, self._examiner.left) for one in (self._reference, self._draws))

    def _least(self) -> int:
        return max(one.least(self._examiner.finds, self._examiner.left) for one in (self._reference, self._draws))

    def _report(self, stage: Stage) -> None:
        if self._progress is None:
            return
        examiner = self._examiner
        bound = self._share(self._most())
        self._progress(
            AuditProgress(
                stage, examiner.embedded_texts, self._request.budget, len(examiner.foreign), bound, examiner.left
            )
        )

    def _outcome(self, stopped: Stopped, culprit: dict[str, float]) -> AuditResult:
        examiner = self._examiner
        rows = np.array(sorted(examiner.foreign), dtype=np.int64)
        certificate = Certificate(
            sampled=self._draws.drawn + self._reference.drawn,
            foreign=self._draws.foreign + self._reference.foreign,
            population=examiner.left,
            bound=self._share(self._most()),
            confidence=self._request.confidence,
            sensitivity=self._sensitivity,
        )
        return AuditResult(
            verdict=self._verdict(certificate, stopped),
            stopped=stopped,
            vectors=self._population.count,
            examined=int(np.isfinite(examiner.cosine).sum()),
            rows=tuple(rows.tolist()),
            ids=tuple(self._population.ids(rows)),
            cosines=tuple(round(float(c), 6) for c in examiner.cosine[rows]),
            suspected=self._search.suspected,
            at_least=self._least() / examiner.left if examiner.left else 0.0,
            certificate=certificate,
            floor=examiner.floor,
            storage=self._storage.format,
            power=examiner.power,
            embedded=dict(examiner.spent),
            not_examined=examiner.not_examined(),
            culprit=culprit,
            harm=self._harm(),
            batches=self._by_batch(),
            times=self._by_time(),
        )

    def _verdict(self, certificate: Certificate, stopped: Stopped) -> Verdict:
        if stopped == "lossy":
            return "unknown"
        if self._examiner.foreign:
            return "fail"
        power = self._examiner.power
        lacks = power is not None and bool(power.lacks)
        unknown = lacks or certificate.bound > self._request.bound or self._examiner.not_examined()
        return "unknown" if unknown else "pass"

    def _harm(self) -> Harm | None:
        """What the foreign vectors do to the answers of questions that they should answer, among the rows compared."""
        if not self._examiner.foreign:
            return None
        right, foreign = (side[:_HARM_QUERIES] for side in self._examiner.pairs())
        own = np.flatnonzero(self._examiner.cosine >= self._examiner.floor)[:_HARM_ROWS]
        index_vectors = np.concatenate([foreign, units(self._population.vectors(own))])
        damage = harm(index_vectors, np.arange(len(right)), right, right)
        judged = self._judgements()
        if judged is None:
            return damage
        return replace(damage, ndcg=golden_harm(self._population, self._examiner.own_of_foreign(), judged))

    def _by_batch(self) -> tuple[Share, ...]:
        batches = self._population.batches()
        if batches is None or not len(batches):
            return ()
        names, group = np.unique(batches, return_inverse=True)
        return tuple(Share(*counts, batch=int(name)) for name, counts in zip(names, self._counts(group), strict=True))

    def _by_time(self) -> tuple[Share, ...]:
        times = self._population.times()
        if times is None or not np.isfinite(times).any():
            return ()
        first, last = float(np.nanmin(times)), float(np.nanmax(times))
        width = (last - first) / _STRETCHES or 1.0
        has_time = np.isfinite(times)
        group = np.full(len(times), _STRETCHES)  # those of unknown time come last and are left out
        group[has_time] = np.minimum((times[has_time] - first) // width, _STRETCHES - 1)
        return tuple(
            Share(*counts, start=first + n * width, end=first + (n + 1) * width)
            for n, counts in enumerate(self._counts(group)[:_STRETCHES])
            if counts[0]
        )

    def _counts(self, group: Numbers) -> list[tuple[int, int, int]]:
        """Vectors, examined and foreign rows of each group."""
        compared = np.isfinite(self._examiner.cosine)
        parts = (group, group[compared], group[self._examiner.foreign])
        counts = [np.bincount(part, minlength=int(group.max()) + 1).tolist() for part in parts]
        return list(zip(*counts, strict=True))
