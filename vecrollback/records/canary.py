"""A pair that is tried on real traffic before it serves: beside it (shadow), or for some callers (canary)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vecrollback.records.documents import Json

Standing = Literal["better", "worse", "undecided"]

_RANGE = float(2**64)


@dataclass(frozen=True, slots=True)
class Canary:
    """What a query needs to know of a running canary. `share`, `shadow`: percent of callers, of live queries."""

    number: int
    step: int
    share: float
    shadow: float
    salt: str
    pair: str
    snapshot: int
    watermark: int
    vectors_version: int

    @property
    def ref(self) -> str:
        return f"{self.pair}@{self.snapshot}"

    def draws(self, key: str) -> bool:
        """Whether the caller with this key is among the canary's share.

        The same in every process and as long as the canary runs; who is in at a small share stays in at a larger one,
        and another canary, with another salt, draws others.
        """
        digest = hashlib.blake2b(f"{self.salt}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") / _RANGE * 100 < self.share


@dataclass(frozen=True, slots=True)
class CanaryRun:
    """A pair that is tried. `step` 0 is shadow alone, step n gives the candidate `policy["steps"][n - 1]` percent.

    `since`: when this step began, seconds since 1970. `ended_at` is None while it runs.
    """

    number: int
    alias: str
    pair: str
    baseline: str
    step: int
    share: float
    shadow: float
    salt: str
    policy: Mapping[str, Json]
    since: float
    started_at: str
    started_by: str
    ended_at: str | None = None
    ended_by: str = ""
    end_reason: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one measure: sums and a coarse histogram, never the queries. They add up over processes."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0
    bins: Mapping[str, int] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def __add__(self, other: Observation) -> Observation:
        if not self.count or not other.count:
            return self if self.count else other
        return Observation(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            {at: self.bins.get(at, 0) + other.bins.get(at, 0) for at in self.bins.keys() | other.bins.keys()},
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the sequential test says of one measure. `low` to `high` holds the true value at every look, at once."""

    measure: str
    standing: Standing
    low: float
    high: float
    count: int
    sentence: str


@dataclass(frozen=True, slots=True)
class CanaryStatus:
    """A canary and what was seen at its present step.

    `baked`: seconds since that began; `next_share`: percent of the next one, None at the end.
    """

    canary: CanaryRun
    observed: Mapping[str, Observation]
    judgements: tuple[Judgement, ...]
    baked: float
    bake_seconds: float
    next_share: float | None

    @property
    def standing(self) -> Standing:
        """Worse if anything is worse; better if everything that was asked is."""
        found = {one.standing for one in self.judgements}
        if "worse" in found:
            return "worse"
        return "better" if found == {"better"} else "undecided"
