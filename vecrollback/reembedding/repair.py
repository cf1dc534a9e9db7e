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
)
_FOREIGN = ("foreign_vector", "foreign_fingerprint", "invalid_vector")
"""Of those, the ones whose place among the others means nothing: a caller may rather have no answer from them."""

_HIDDEN = ("orphaned_vector", "resurrected_vector")
_REBUILT = ("artifact_corrupt", "index_differs", "not_indexed", "recall_low", "manifest_corrupt")


class Repairer:
    """Rows are superseded, never changed: the damaged ones stay in the table, for whoever wants to know why."""

    def __init__(self, corpus: Corpus, builder: Builder) -> None:
        self._corpus, self._builder = corpus, builder

    def run(
        self, pair: Pair, report: Report, job: str, progress: ProgressCallback | None = None, *, mask: bool = False
    ) -> None:
        """Mend what can be mended. What a new check finds after it needs the documents or the pair anew.

        `mask`: documents with foreign or invalid vectors are in no answer until they have new ones.
        """
        if lost := report.ids("tombstone_missing"):
            self._corpus.delete(lost, again=True)
        if hidden := report.ids(*_HIDDEN):
            self._corpus.delete(hidden, again=True)
        if pair.probes in report.ids("artifact_corrupt"):
            self._builder.renew_probes(pair)
        rewritten = report.ids(*_REWRITTEN)
        kinds = {finding.kind for finding in report.findings}
        if rewritten:
            self._builder.rewrite(pair, rewritten, job, progress, masked=report.ids(*_FOREIGN) if mask else ())
        elif kinds & {*_REBUILT, *_HIDDEN}:
            self._builder.snapshot(pair.name, rebuild=True)
