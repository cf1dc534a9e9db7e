"""What an examination of a source found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

from vecrollback.quality.purity import AuditResult
from vecrollback.records import Certificate, Json, Verdict

Severity = Literal["fail", "unknown", "warn"]


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """One kind of defect: how many rows, how many by ingest batch, and ids: all of foreign vectors, else the first."""

    kind: str
    count: int
    ids: tuple[str, ...]
    batches: Mapping[str, int]
    message: str
    severity: Severity = "fail"


class Point(NamedTuple):
    """A vector of a sample in the plane."""

    id: str
    x: float
    y: float
    foreign: bool


@dataclass(frozen=True, slots=True)
class Examination:
    """The outcome of examining a source.

    `verdict`: "unknown" without a model, unless something is wrong already. `certificate`: about the vectors that were
    not re-embedded; None without a model. `facts`: sizes, lengths, texts, recorded models. `batch_names`: what
    `audit` has by number. `lengths`, `points`: samples for pictures.
    """

    source: str
    vectors: int
    dimension: int
    verdict: Verdict
    findings: tuple[SourceFinding, ...]
    certificate: Certificate | None
    model: str | None
    facts: Mapping[str, Json]
    audit: AuditResult | None = None
    batch_names: tuple[str, ...] = ()
    lengths: tuple[float, ...] = ()
    points: tuple[Point, ...] = field(default=(), repr=False)

    def as_json(self) -> dict[str, Json]:
        """What `vecrollback doctor --json` prints. Keys are added over time, never renamed."""
        audit = self.audit
        return {
            "source": self.source,
            "vectors": self.vectors,
            "dimension": self.dimension,
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
            "certificate": asdict(self.certificate) if self.certificate else None,
            "model": self.model,
            "facts": dict(self.facts),
            "audit": self._audit_json(audit) if audit else None,
        }

    def _audit_json(self, audit: AuditResult) -> dict[str, Json]:
        batches = [asdict(share) for share in audit.batches]
        for share in batches:
            share["batch"] = self.batch_name(share["batch"])
        return {
            "stopped": audit.stopped,
            "examined": audit.examined,
            "embedded": dict(audit.embedded),
            "suspected": audit.suspected,
            "floor": audit.floor,
            "storage": audit.storage,
            "power": asdict(audit.power) if audit.power else None,
            "culprit": dict(audit.culprit),
            "harm": asdict(audit.harm) if audit.harm else None,
            "not_examined": {one.reason: len(one.rows) for one in audit.not_examined},
            "batches": batches,
            "times": [asdict(share) for share in audit.times],
        }

    def batch_name(self, number: int | None) -> str:
        """What a batch that the audit knows by number is called; empty for rows that name none."""
        return self.batch_names[number] if number is not None and number >= 0 else ""

    def finding(self, kind: str) -> SourceFinding | None:
        """The finding of this kind."""
        return next((finding for finding in self.findings if finding.kind == kind), None)
