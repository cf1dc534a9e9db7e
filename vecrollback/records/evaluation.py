"""What is expected of answers, and how pairs did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vecrollback.records.reports import Verdict
from vecrollback.records.results import SearchMode


@dataclass(frozen=True, slots=True)
class GoldenQuery:
    """A query whose right answers are known: document id -> grade, 1 or more; 0 for a document known to be wrong.

    A document that is not named counts as wrong, as everywhere in the field. `expected` may be empty: such a query
    says only how alike two pairs answer.
    """

    id: str
    text: str
    expected: Mapping[str, int]
    tags: tuple[str, ...] = ()
    created_at: str = ""
    created_by: str = ""

    @property
    def judged(self) -> bool:
        """Whether some document is known to be right."""
        return any(grade > 0 for grade in self.expected.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two pairs over the same queries; `difference` is b - a.

    `low` to `high` is its 95% bootstrap interval, `p` the two-sided probability of a difference this large when a and
    b are exchangeable query by query.
    """

    measure: str
    queries: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table says of it: measure, a, b, difference, interval, p."""
        numbers = f"{self.a:.4f}", f"{self.b:.4f}", f"{self.difference:+.4f}"
        return (self.measure, *numbers, f"{self.low:+.4f} to {self.high:+.4f}", f"{self.p:.4f}")

    @property
    def significant(self) -> bool:
        """Whether chance alone would show a difference this large less than once in twenty."""
        return self.p < 0.05


@dataclass(frozen=True, slots=True)
class AnsweredQuery:
    """One query on both pairs. `a` and `b`: measure -> value, empty where nothing is judged."""

    id: str
    text: str
    a: Mapping[str, float]
    b: Mapping[str, float]
    overlap: float
    rbo: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from a text to its hits, one query at a time."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two pairs answer the same queries.

    `a`, `b`: `PAIR@N`. `judged`: queries with a known right answer. `overlap`, `rbo`: means over all queries.
    `absent`: documents expected somewhere that the corpus does not hold, so that neither pair can find them.
    `unjudged`: share of the first k, of a and of b, that nobody judged; they count as wrong. `mode`: "hybrid" where
    words answered beside each pair's vectors.
    """

    a: str
    b: str
    k: int
    queries: int
    judged: int
    absent: int
    unjudged: tuple[float, float]
    overlap: float
    rbo: float
    latency: tuple[Latency, Latency]
    differences: tuple[Difference, ...]
    answered: tuple[AnsweredQuery, ...] = field(repr=False)
    mode: SearchMode = "vector"

    def worst(self, count: int = 10) -> list[AnsweredQuery]:
        """Queries that got worse most from a to b, by the first judged measure; by overlap where none is judged."""
        if not self.differences:
            return sorted(self.answered, key=lambda one: one.overlap)[:count]
        name = self.differences[0].measure
        fell = [one for one in self.answered if one.a and one.b[name] < one.a[name]]
        return sorted(fell, key=lambda one: one.b[name] - one.a[name])[:count]


@dataclass(frozen=True, slots=True)
class ThresholdTranslation:
    """A score threshold of pair `a`, and the one of pair `b` that lets the same answers through.

    `low` to `high`: where `translated` lies in 95 of 100 draws of the queries. `same`: of the answers over either
    threshold the share over both, measured with queries that had no part in the choice. `answers`: so many were over
    `threshold`, of `queries` queries. `kind`: "golden", or "documents" where texts that both pairs hold were asked for.
    """

    a: str
    b: str
    threshold: float
    translated: float
    low: float
    high: float
    same: float
    answers: int
    queries: int
    kind: Literal["golden", "documents"]

    @property
    def sentence(self) -> str:
        """What it says, for people."""
        asked = "golden queries" if self.kind == "golden" else "documents as queries"
        return (
            f"the score threshold {self.threshold:.3f} of {self.a} is {self.translated:.3f} of {self.b} "
            f"({self.low:.3f} to {self.high:.3f}): {self.same:.0%} of the answers over either are over both "
            f"({self.queries:,} {asked})"
        )


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """One gate, as it is written, and what came of it. `measured`: None when it could not be."""

    gate: str
    outcome: Verdict
    sentence: str
    measured: float | None = None
    needed: float | None = None


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """All gates of one pair. Unknown does not pass. `live`: the pair that served meanwhile, at `epoch`."""

    pair: str
    snapshot: int
    outcomes: tuple[GateOutcome, ...]
    live: str = ""
    epoch: int = 0

    @property
    def passed(self) -> bool:
        return all(one.outcome == "pass" for one in self.outcomes)
