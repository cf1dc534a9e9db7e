"""What is asked of an audit, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vecrollback.errors import UsageError
from vecrollback.quality.purity.harm import Harm
from vecrollback.quality.purity.power import RELATIVE, Power
from vecrollback.records import Certificate, Verdict

FLOOR = 0.9999

Stage = Literal["reference", "long", "screen", "batch", "random", "suspect", "calibration"]
"""Why a text was embedded: to learn what the own vectors look like; because it is long; because a screen pointed at it,
or at its ingest batch; drawn at random to certify; with a suspect's model; again, to measure the own model's noise."""

Stopped = Literal["certified", "refuted", "budget", "exhausted", "lossy"]
"""Why an audit ended: the bound asked for was reached; more than that is foreign among rows that no screen points at,
or most of the index is; the budget was spent; nothing was left to examine; the storage says too little about what was
put into it, so that another model's vectors could not be told (`power.lacks` says why)."""


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What is asked of an audit.

    `bound` at `confidence`: of the vectors that were not re-embedded at most this share may be foreign. `budget`: texts
    to embed at most, with any model; None for as many as it takes. `floor`: cosine to what the own embedder makes of
    the text today, below which a vector is foreign; what the storage rounds is taken off by the audit. `seed`: None
    draws anew.
    """

    bound: float = 0.001
    confidence: float = 0.99
    budget: int | None = None
    floor: float = FLOOR
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.bound < 1 or not 0 < self.confidence < 1:
            raise UsageError(
                f"bound {self.bound} and confidence {self.confidence} must lie between 0 and 1",
                hint="for example bound=0.001, confidence=0.99",
            )
        if self.budget is not None and self.budget < 1:
            raise UsageError(f"a budget of {self.budget} texts examines nothing", hint="give at least 1")


@dataclass(frozen=True, slots=True)
class AuditProgress:
    """How far an audit is. `bound`: reached so far, on the `left` rows that were not examined."""

    stage: Stage
    embedded: int
    budget: int | None
    found: int
    bound: float
    left: int


@dataclass(frozen=True, slots=True)
class Share:
    """Vectors of one ingest batch, or of a stretch of time from `start` to `end` in unix seconds.

    How many there are, how many were examined, and how many of those turned out foreign.
    """

    vectors: int
    examined: int
    foreign: int
    batch: int | None = None
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class NotExamined:
    """Rows that nothing can be said about, and why: "text missing", "vector not finite", "vector zero", ..."""

    reason: str
    rows: tuple[int, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The outcome of an audit; `dataclasses.asdict` makes JSON of it.

    `rows`, `ids`: the vectors found foreign, each re-embedded. `cosines`: of each to the own embedder's vector.
    `examined`: rows whose vector was compared. `embedded`: texts embedded, by stage; identical texts count once.
    `certificate`: about the rows that were not examined, its `population`. `at_least`: share of those that must be
    foreign, at the same confidence. `suspected`: rows that a screen still pointed at when the budget was spent.
    `floor`: the one used, after calibration; `storage`: the format that the numbers show. `culprit`: suspect -> share
    of the foreign vectors that it made, of those tried. `harm`: what they do to answers, None when none was found.
    `power`: what the comparison could tell, None when no row was compared.
    `batches`, `times`: empty when the population knows neither.
    """

    verdict: Verdict
    stopped: Stopped
    vectors: int
    examined: int
    rows: tuple[int, ...]
    ids: tuple[str, ...]
    cosines: tuple[float, ...]
    suspected: int
    at_least: float
    certificate: Certificate
    floor: float
    storage: str
    embedded: Mapping[str, int] = field(default_factory=dict)
    not_examined: tuple[NotExamined, ...] = ()
    culprit: Mapping[str, float] = field(default_factory=dict)
    harm: Harm | None = None
    batches: tuple[Share, ...] = ()
    times: tuple[Share, ...] = ()
    power: Power | None = None

    @property
    def harmless(self) -> bool:
        """Whether a warning is enough: relatives of the model nearer than any fine-tune of it, that change no answer.

        Few foreign vectors change few answers, whatever made them: that alone makes them no less another model's.
        """
        near = bool(self.cosines) and min(self.cosines) > RELATIVE
        return near and self.harm is not None and self.harm.harmless


ProgressCallback = Callable[[AuditProgress], None]
