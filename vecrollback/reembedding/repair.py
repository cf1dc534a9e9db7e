"""Mending what a check found: re-embed those documents, hide those vectors, build that index, and nothing else."""

from __future__ import annotations

from vecrollback.corpus.corpus import Corpus
from vecrollback.records import Pair, ProgressCallback, Report
from vecrollback.reembedding.builder import Builder

_REWRITTEN = (
    "foreign_vector",
    "foreign_fingerprint",
    "stale_vector",
    "missing_vector",
    "duplicate_vector",
    "invalid_vector",
    "not_embedded",
    "bridged_vector",
)
_FOREIGN = ("foreign_vector", "foreign_fingerprint", "invalid_vector")
"""Of those, the ones whose place among the others means nothing: a caller may rather have no answer from them."""

_HIDDEN = ("orphaned_vector", "resurrected_vector")
_REBUILT = ("artifact_corrupt", "index_differs", "not_indexed", "recall_low", "manifest_corrupt")


class Repairer:
    """Repairs a pair. Rows are superseded, never changed: the damaged ones stay in the table as evidence."""

    def __init__(self, corpus: Corpus, builder: Builder) -> None:
        self._corpus, self._builder = corpus, builder

    def run(
        self, pair: Pair, report: Report, job: str, progress: ProgressCallback | None = None, *, mask: bool = False
    ) -> None:
        """Repair what can be repaired. For what a new check still finds, the documents or the pair must be made anew.

        `mask`: documents with foreign or invalid vectors are in no answer until they have new ones.
        """
        # Deletes first: they are masks, effective at once, while embedding takes long (law 3).
        if undeleted := report.ids("tombstone_missing"):
            self._corpus.delete(undeleted, again=True)
        if orphans := report.ids(*_HIDDEN):
            self._corpus.delete(orphans, again=True)
        if pair.probes in report.ids("artifact_corrupt"):
            self._builder.renew_probes(pair)
        ids = report.ids(*_REWRITTEN)
        kinds = {finding.kind for finding in report.findings}
        if ids:
            self._builder.rewrite(pair, ids, job, progress, masked=report.ids(*_FOREIGN) if mask else ())
        elif kinds & {*_REBUILT, *_HIDDEN}:
            self._builder.snapshot(pair.name, rebuild=True)
