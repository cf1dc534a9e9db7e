"""A policy as values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Speed = Literal["immediate", "rapid", "business", "delayed"]
Action = Literal["rollback", "approve", "alert"]

RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
ACTIONS: Mapping[Speed, tuple[Action, ...]] = {
    "immediate": ("rollback", "approve", "alert"),
    "rapid": ("rollback", "approve", "alert"),
    "business": ("approve", "alert"),
    "delayed": ("alert",),
}
"""What a metric may lead to, the default first. Numbers of the business and slow ones never move `live` alone."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`> 0.05`."""

    relation: str
    threshold: float

    def holds(self, value: float) -> bool:
        return RELATIONS[self.relation](value, self.threshold)

    def __str__(self) -> str:
        return f"{self.relation} {self.threshold:g}"


@dataclass(frozen=True, slots=True)
class MetricSource:
    """Where a metric's values come from, and what it is judged by when the policy does not say.

    `minimum`: how many answers, queries or values one measurement needs. `said`: what the value is.
    """

    speed: Speed
    said: str
    failure: str | None
    minimum: int = 1
    statistics: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


SOURCES: Mapping[str, MetricSource] = {
    "error_rate": MetricSource("immediate", "share of queries that got an error", "> 0.05", 20),
    "latency": MetricSource("immediate", "99th percentile over the latency objective", "> 5", 20),
    "health": MetricSource("immediate", "1 when a query is answered, 0 when it is not", "< 1"),
    "standout": MetricSource(
        "rapid",
        "how much less the best hit stands out from a random document than with the standby (Kolmogorov-Smirnov)",
        "> 0.25",
        60,
    ),
    "overlap": MetricSource("rapid", "share of the first ten documents that the standby finds too", "< 0.3", 30),
    "scores": MetricSource("rapid", "distance of best scores to the baseline's", None, 60, ("ks", "psi")),
    "queries": MetricSource("rapid", "distance of query vectors to the baseline's", None, 60, ("ks", "psi")),
    "prometheus": MetricSource("business", "what the PromQL query gives", None, needs=("query", "address")),
    "pushed": MetricSource("business", "mean of the values pushed under a name", None, needs=("key",)),
    "golden": MetricSource("delayed", "nDCG@10 of the golden queries over that at the promote", "< 0.98", 5),
    "purity": MetricSource("delayed", "share of foreign vectors that the last check could not rule out", "> 0.01"),
    "lag": MetricSource("delayed", "changes the live pair has not taken in", "> 10000"),
    "standby": MetricSource(
        "delayed",
        "1 when the model of the pair that a rollback goes to answers, 0 when it does not or none is fit",
        "< 1",
    ),
    "cost": MetricSource("delayed", "tokens embedded within the window", None),
}
STATISTIC_LIMITS: Mapping[str, str] = {"ks": "> 0.25", "psi": "> 0.25"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One metric and when it fails.

    `failure` decides; with `success` what is neither is inconclusive. `interval`: between two measurements, `window`:
    how far back one looks, both in seconds. `alpha`: a difference of samples this likely by chance is not a failure.
    """

    name: str
    source: str
    failure: Condition
    success: Condition | None
    action: Action
    interval: float
    window: float
    minimum: int
    count: int
    failure_limit: int
    statistic: str = ""
    query: str = ""
    address: str = ""
    key: str = ""
    alpha: float = 0.001

    @property
    def speed(self) -> Speed:
        return SOURCES[self.source].speed

    @property
    def condition(self) -> str:
        return str(self.failure)


@dataclass(frozen=True, slots=True)
class Objectives:
    """Seconds. `latency`: of a query at the 99th percentile; `switch`: of a rollback to the last searcher; `whole`: to
    the end of its check.
    """

    latency: float | None = None
    switch: float = 60.0
    whole: float = 300.0


@dataclass(frozen=True, slots=True)
class AuthoritySettings:
    """`restore_approvals`: how many different people must agree to serving older data; 0: nobody has to."""

    restore_approvals: int = 0


@dataclass(frozen=True, slots=True)
class DrillSettings:
    """`every`: seconds after which a drill is overdue. `after_promote`: one of the way back follows each promote."""

    every: float = 30 * 86400.0
    after_promote: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """Where notices go. Secrets are named by environment variable. `events`: empty for all of them."""

    name: str
    kind: Literal["webhook", "email", "command"]
    events: tuple[str, ...] = ()
    url: str = ""
    url_env: str = ""
    command: tuple[str, ...] = ()
    host: str = ""
    port: int = 25
    starttls: bool = False
    user: str = ""
    password_env: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything a policy says. Times in seconds.

    `window`: only so long after a promote may a metric roll it back. `bake`: only immediate metrics may before it is
    over. `automatic` False: nothing moves, it is only told. `blind_rounds`: a metric that could not be measured so many
    times in a row is an alert. `probe`: a server asks golden queries itself while too few queries come to judge by.
    `pool`: all servers and searchers of the store give the watch their traffic, through the catalog.
    """

    rules: tuple[Rule, ...] = ()
    interval: float = 10.0
    bake: float = 60.0
    window: float = 24 * 3600.0
    automatic: bool = True
    samples: int = 200
    blind_rounds: int = 30
    probe: bool = True
    pool: bool = True
    objectives: Objectives = Objectives()
    authority: AuthoritySettings = AuthoritySettings()
    drills: DrillSettings = DrillSettings()
    channels: tuple[Channel, ...] = ()
    contacts: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
