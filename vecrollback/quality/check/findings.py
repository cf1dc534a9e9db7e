"""Findings of an examination. Each kind names the law that it breaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from vecrollback.records import Finding, Verdict

SHOWN = 10_000

LAWS = {
    "alias_differs": "one pointer",
    "history_broken": "one pointer",
    "artifact_corrupt": "snapshots are immutable",
    "manifest_corrupt": "snapshots are immutable",
    "kept_model_corrupt": "snapshots are immutable",
    "bridge_corrupt": "snapshots are immutable",
    "catalog_differs": "snapshots are immutable",
    "resurrected_vector": "deletes win",
    "tombstone_missing": "deletes win",
    "catalog_corrupt": "acknowledged means durable",
    "catalog_older": "acknowledged means durable",
    "document_corrupt": "acknowledged means durable",
    "file_corrupt": "acknowledged means durable",
    "head_differs": "acknowledged means durable",
    "missing_vector": "no change is skipped",
    "stale_vector": "no change is skipped",
    "orphaned_vector": "no change is skipped",
    "not_indexed": "no change is skipped",
    "duplicate_vector": "nothing is embedded twice",
    "foreign_fingerprint": "no vector without a fingerprint",
    "foreign_vector": "no vector without a fingerprint",
    "in_doubt": "no vector without a fingerprint",
    "dimension_differs": "no vector without a fingerprint",
    "embedder_changed": "no vector without a fingerprint",
    "bridged_vector": "no vector without a fingerprint",
    "invalid_vector": "no vector without a fingerprint",
    "index_differs": "snapshots are immutable",
    "recall_low": "forward is gated",
    "embedder_unavailable": "unknown is not ok",
    "unreadable": "unknown is not ok",
    "not_examined": "unknown is not ok",
    "cannot_tell": "unknown is not ok",
    "not_embedded": "unknown is not ok",
    "accepted": "unknown is not ok",
}
"""Kind of finding -> the law it breaks."""


@dataclass(slots=True)
class Notes:
    """Findings and what was examined, gathered while a check runs.

    `proven`: vectors were compared with what the pair's own model makes.
    """

    findings: list[Finding] = field(default_factory=list)
    examined: dict[str, int | float | str] = field(default_factory=dict)
    proven: bool = False

    def add(
        self,
        kind: str,
        message: str,
        ids: Iterable[str] = (),
        *,
        severity: Literal["fail", "unknown", "warn"] = "fail",
        count: int | None = None,
        about: Literal["pair", "log"] = "pair",
    ) -> None:
        """Note a defect; nothing is noted for an empty list of ids unless a count is given."""
        unique_ids = tuple(dict.fromkeys(ids))
        number = len(unique_ids) if count is None else count
        if number:
            self.findings.append(Finding(LAWS[kind], kind, number, unique_ids[:SHOWN], message, severity, about))

    def has(self, kind: str, *, about: Literal["pair", "log"] | None = None) -> bool:
        return any(one.kind == kind and about in (None, one.about) for one in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)


def verdict_of(notes: Notes) -> Verdict:
    """The gravest finding decides; a warning does not."""
    severities = {finding.severity for finding in notes}
    if "fail" in severities:
        return "fail"
    return "unknown" if "unknown" in severities else "pass"
