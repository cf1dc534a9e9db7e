"""What a pair answered, as far as it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NOT_RECORDED = (
    "which queries these were, and what stood in the answers: no answer is kept, and a query for some minutes at most",
    "answers of `Store.search` and of programs that end soon: only searchers that go on count",
    "the last second of a searcher that was killed: counts are written about once a second",
)
"""What nobody can say afterwards."""


@dataclass(frozen=True, slots=True)
class AffectedTerm:
    """One time for which a pair served.

    Attributes:
        first_epoch: Of `live`, with which it began.
        last_epoch: With which it ended.
        began: When, as the history has it.
        ended: When the next pair took over; None while it serves.
        answers: Queries that searchers counted in it.
        searchers: How many counted.
        first_answer: Time of the first one; None when there was none.
        last_answer: Time of the last one.
    """

    first_epoch: int
    last_epoch: int
    began: str
    ended: str | None
    answers: int
    searchers: int
    first_answer: str | None
    last_answer: str | None


@dataclass(frozen=True, slots=True)
class Affected:
    """What a pair answered since a time.

    Attributes:
        pair: Its name.
        since: The time that was asked for; empty for all there is.
        terms: The times for which it was live, oldest first. One that began earlier counts whole.
        canary_answers: Answers that it gave to callers while it was tried, over all time.
        incidents: Numbers of the incidents in which it was left.
        outdated: Document -> answers that held it with a vector older than its text, and that no catch-up has mended.
        not_recorded: What nobody can say, in sentences.
    """

    pair: str
    since: str
    terms: tuple[AffectedTerm, ...]
    canary_answers: int
    incidents: tuple[int, ...]
    outdated: Mapping[str, int] = field(default_factory=dict)
    not_recorded: tuple[str, ...] = NOT_RECORDED

    @property
    def answers(self) -> int:
        """Of all terms, and of the canary."""
        return self.canary_answers + sum(term.answers for term in self.terms)
