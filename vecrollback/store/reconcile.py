"""Mend a catalog that went back in time: first the log, so that what is deleted stays so; then the pointers."""

from __future__ import annotations

from vecrollback.corpus.readopt import newest_head, readopt
from vecrollback.pairs.resources import Resources
from vecrollback.records import Reconciled


def reconcile(resources: Resources, *, actor: str) -> Reconciled | None:
    """Take back what the store's files know. None when the catalog lacks nothing.

    Each step is whole by itself, and done again it changes nothing: one that was interrupted is begun anew.

    Args:
        resources: Of the store.
        actor: Who mends it, for the history.

    Returns:
        What was mended, and what is lost.

    Raises:
        CorruptArtifactError: The log's table is damaged, too.
        CatalogUnavailableError: The catalog cannot be written.
    """
    catalog, corpus = resources.catalog, resources.corpus
    setback = catalog.setback(look=True)
    if setback is None:
        return None
    with catalog.mending():
        before = corpus.state()
        in_table = newest_head(corpus)
        readopt(corpus, catalog, setback.seen.head)
    replayed, anew = catalog.take_moves_back(setback, actor=actor)
    # What this machine keeps of texts may be of changes that are lost.
    resources.forget_texts()
    return Reconciled(
        setback,
        tuple(replayed),
        tuple(anew),
        changes=max(0, in_table - before.head),
        lost_changes=max(0, setback.seen.head - in_table),
    )
