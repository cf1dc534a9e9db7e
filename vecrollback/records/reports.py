"""What an audit found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vecrollback.records.documents import Json
from vecrollback.records.tables import html_table

Verdict = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of defect: the law it breaks, how many, the first ids, and a sentence for the operator.

    `about`: the pair, or the log and the catalog, which all pairs have in common. What is wrong there is as wrong with
    every other pair, so it is no reason to stay with the one that serves.
    """

    law: str
    kind: str
    count: int
    ids: tuple[str, ...]
    message: str
    severity: Literal["fail", "unknown", "warn"] = "fail"
    about: Literal["pair", "log"] = "pair"


@dataclass(frozen=True, slots=True)
class Certificate:
    """At `confidence`, at most `bound` of the vectors were not made by the pair's embedder.

    `sampled` were drawn at random and re-embedded, `foreign` of them differed, out of `population`. `sensitivity`: the
    chance that re-embedding shows a foreign vector to be one, by which the bound is divided.
    """

    sampled: int
    foreign: int
    population: int
    bound: float
    confidence: float
    sensitivity: float = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check."""

    pair: str
    snapshot: int
    level: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    certificate: Certificate | None
    watermark: int
    head: int
    at: str
    examined: Mapping[str, Json] = field(default_factory=dict)

    @property
    def fitness(self) -> Verdict:
        """The verdict on the pair alone: whether it may be rolled back to, whatever is wrong with the log."""
        if self.verdict == "pass" or not any(one.about == "log" for one in self.findings):
            return self.verdict
        severities = {one.severity for one in self.findings if one.about == "pair"}
        return "fail" if "fail" in severities else "unknown" if "unknown" in severities else "pass"

    def _repr_html_(self) -> str:
        """The findings as a table, as notebooks show it, and what was proven."""
        rows = ((one.severity, one.kind, one.count, one.message, ", ".join(one.ids)) for one in self.findings)
        proven = self.certificate
        vouched = "no certificate"
        if proven:
            share = f"at most {proven.bound:.2%} of {proven.population:,} vectors are foreign"
            vouched = f"at {proven.confidence:.0%} confidence {share}"
        note = f"{self.verdict}: {self.pair}@{self.snapshot}, {self.level}, change {self.watermark:,}; {vouched}"
        return html_table(("", "finding", "count", "what it says", "first ids"), rows, note)

    def ids(self, *kinds: str) -> list[str]:
        """Document ids of the findings of these kinds, each once, in order."""
        return list(dict.fromkeys(i for f in self.findings if f.kind in kinds for i in f.ids))
