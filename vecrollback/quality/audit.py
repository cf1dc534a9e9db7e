"""The active audit of a pair: a full check whose sample is replaced by a search for foreign vectors.

Every other pair of the store is a suspect, those that were rolled back from first.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, TypedDict

from vecrollback.catalog import CORPUS, vectors_table
from vecrollback.embedders import Embedder
from vecrollback.embedders.pieces import embed_documents, embed_in_pieces
from vecrollback.errors import VecrollbackError, refuse_unknown
from vecrollback.pairs.resources import Resources
from vecrollback.quality.check import Checker, Sampling
from vecrollback.quality.check.findings import Notes, verdict_of
from vecrollback.quality.check.rows import read_log, read_rows
from vecrollback.quality.pair_population import PairPopulation
from vecrollback.quality.purity import (
    AuditProgress,
    AuditRequest,
    AuditResult,
    Embed,
    audit,
    embed_judged,
    parse_budget,
)
from vecrollback.records import Pair, Progress, ProgressCallback, Report

_OTHER_PAIRS = 3
"""Suspects that nobody named: each costs 200 embeddings."""

_BLIND = ("file_corrupt", "unreadable", "embedder_changed", "embedder_unavailable", "dimension_differs")
_BOUND, _CONFIDENCE = 0.001, 0.99
_SHOWN_BATCHES = 5


class AuditOptions(TypedDict, total=False):
    """The arguments of an audit.

    `suspects`: pairs or embedder strings; None for other pairs of the store, () for none. `budget`: texts to embed at
    most, a number or a share of the chunks like `2%`; None for as many as the bound needs. `bound`, `confidence`: of
    the chunks that were not re-embedded at most this share is foreign; 0.1% at 99%. `seed`: None draws anew.
    """

    suspects: Sequence[str] | None
    budget: str | int | None
    bound: float
    confidence: float
    seed: int | None


class Auditor:
    """Audits pairs; changes nothing."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus, self._embedders = resources.catalog, resources.corpus, resources.embedders
        self._vectors_of, self._checker = resources.vectors_of, Checker(resources)

    def run(self, pair: Pair, asking: AuditOptions, progress: ProgressCallback | None = None) -> Report:
        """Audit one pair; see `Store.audit`."""
        refuse_unknown("audit", asking, AuditOptions, "pair", "progress")
        with self._catalog.reading(vectors_table(pair.name)), self._catalog.reading(CORPUS):
            return self._run(pair, asking, progress)

    def _run(self, pair: Pair, asking: AuditOptions, progress: ProgressCallback | None) -> Report:
        """Check and audit one pair; the report is kept, unless it only says that the budget was too small."""
        checked = self._checker.run(pair, "full", Sampling(size=0), _told_as_audit(progress))
        report = replace(checked, level="audit", certificate=None)
        if any(finding.kind in _BLIND for finding in report.findings):
            self._catalog.reports.add(report)  # without its text nobody can say what a vector should be
            return report
        suspects = self._suspects(pair, asking.get("suspects"))
        population = self._population(pair)
        request = _request_of(pair, asking, population.count)
        own, probes = self._embedders.proven(pair), self._embedders.batch_probes(pair)
        outcome = audit(
            population,
            probes.embed if probes else partial(embed_documents, own),
            suspects=suspects,
            request=request,
            judgements=lambda: embed_judged(self._catalog.golden.all(), partial(embed_in_pieces, own.embed_queries)),
            progress=_stage_reporter(population, progress),
        )
        full_report = _with_audit(report, outcome, request, suspects)
        if full_report.verdict != "unknown" or outcome.stopped != "budget":
            self._catalog.reports.add(full_report)  # else it would hide what a check with a larger sample certified
        return full_report

    def _population(self, pair: Pair) -> PairPopulation:
        pair, state = self._catalog.pairs.get(pair.name), self._corpus.state()
        tombstones = self._catalog.ledger.tombstones()
        log = read_log(Notes(), self._corpus, state, tombstones)
        vectors = self._vectors_of(pair)
        rows = read_rows(vectors, pair.vectors_version, tombstones)
        return PairPopulation(vectors, pair.vectors_version, rows, log, self._corpus, state.version)

    def _suspects(self, pair: Pair, names: Sequence[str] | None) -> dict[str, Embed]:
        if names is not None:
            return {name: partial(embed_documents, self._open_named(name)) for name in names}
        models: dict[str, Embed] = {}
        own = self._catalog.equivalences.of(pair.fingerprint)
        fingerprints = set(own)
        # Quarantined pairs first: what was rolled back from is the likeliest to have left vectors behind.
        others = sorted(self._catalog.pairs.all(), key=lambda one: one.state != "quarantined")
        for other in others:
            if other.fingerprint in fingerprints or other.dimension != pair.dimension or len(models) == _OTHER_PAIRS:
                continue
            fingerprints.add(other.fingerprint)
            try:
                models[other.name] = partial(embed_documents, self._embedders.proven(other))
            except (VecrollbackError, ImportError, OSError):
                continue  # a model that is gone cannot be asked; the audit goes on without it
        return models

    def _open_named(self, name: str) -> Embedder:
        pair = self._catalog.pairs.find(name)
        return self._embedders.proven(pair) if pair else self._embedders.open(name)


def certified(after: Report, before: Report) -> Report:
    """The check after a repair, with the certificate of the audit before it.

    It still holds: the vectors that were not examined are the same, and the foreign ones are now the pair's own.
    """
    proof = before.certificate
    if before.level != "audit" or proof is None or after.certificate is None or proof.bound > after.certificate.bound:
        return after
    return replace(after, certificate=proof)


def _request_of(pair: Pair, asking: AuditOptions, chunks: int) -> AuditRequest:
    budget = asking.get("budget")
    return AuditRequest(
        bound=asking.get("bound", _BOUND),
        confidence=asking.get("confidence", _CONFIDENCE),
        budget=parse_budget(budget, chunks) if isinstance(budget, str) else budget,
        floor=pair.probe_floor,
        seed=asking.get("seed"),
    )


def _told_as_audit(progress: ProgressCallback | None) -> ProgressCallback | None:
    """A callback for the check that an audit begins with: to whoever waits, its stages are stages of the audit."""
    if progress is None:
        return None
    tell = progress
    return lambda now: tell(replace(now, phase=f"audit: {now.phase.removeprefix('check: ')}"))


def _stage_reporter(
    population: PairPopulation, progress: ProgressCallback | None
) -> Callable[[AuditProgress], None] | None:
    """A callback that reports the stages of an audit in the form of other jobs' progress."""
    if progress is None:
        return None
    start, tell = time.monotonic(), progress

    def report_stage(now: AuditProgress) -> None:
        total = now.budget or max(now.embedded, population.count)
        elapsed = time.monotonic() - start
        tell(Progress("", f"audit: {now.stage}", now.embedded, total, now.embedded, 0, now.embedded, elapsed))

    return report_stage


def _with_audit(report: Report, outcome: AuditResult, request: AuditRequest, suspects: dict[str, Embed]) -> Report:
    notes = Notes(list(report.findings), dict(report.examined))
    if outcome.rows:
        severity: Literal["warn", "fail"] = "warn" if outcome.harmless else "fail"
        notes.add("foreign_vector", _foreign(outcome), outcome.ids, severity=severity)
    if outcome.power is not None and outcome.power.lacks:
        notes.add("cannot_tell", outcome.power.lacks, [f"{report.pair}@{report.snapshot}"], severity="unknown")
    for part in outcome.not_examined:
        notes.add("not_examined", f"vectors left out: {part.reason}", part.ids, severity="unknown")
    certificate = outcome.certificate
    if certificate.bound > request.bound:
        message = (
            f"at most {certificate.bound:.2%} of the {certificate.population:,} vectors that were not re-embedded are "
            f"foreign, at {certificate.confidence:.0%} confidence; asked was {request.bound:.2%} ({outcome.stopped})"
        )
        if outcome.at_least:
            message += f"; at least {outcome.at_least:.2%} are"
        notes.add("not_examined", message, [f"{report.pair}@{report.snapshot}"], severity="unknown")
    notes.examined |= {
        "re-embedded": sum(n for stage, n in outcome.embedded.items() if stage != "suspect"),
        "embedded by suspects": outcome.embedded.get("suspect", 0),
        "suspects": ", ".join(suspects) or "none",
        "floor": round(outcome.floor, 6),
        "stopped": outcome.stopped,
    }
    return replace(
        report,
        verdict=verdict_of(notes),
        findings=tuple(notes),
        certificate=certificate,
        examined=notes.examined,
    )


def _foreign(outcome: AuditResult) -> str:
    message = (
        f"vectors that the pair's embedder did not make: {len(outcome.rows)} of {outcome.examined} re-embedded; the "
        f"lowest cosine is {min(outcome.cosines):.4f}"
    )
    if shares := [f"{name} made {share:.0%}" for name, share in outcome.culprit.items() if share]:
        message += f"; {', '.join(shares)} of those tried"
    if outcome.harm is not None:
        message += f"; {outcome.harm}"
    if batches := [share for share in outcome.batches if share.foreign]:
        most = sorted(batches, key=lambda share: -share.foreign)[:_SHOWN_BATCHES]
        examples = ", ".join(f"{share.foreign} in batch {share.batch}" for share in most)
        message += f"; {examples}" + (
            f" and {len(batches) - len(most)} more batches" if len(batches) > len(most) else ""
        )
    if times := [share for share in outcome.times if share.foreign]:
        first, last = (_day(moment) for moment in (times[0].start, times[-1].end))
        message += f"; their documents changed from {first} to {last}"
    return message


def _day(moment: float | None) -> str:
    return "" if moment is None else dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="minutes")
