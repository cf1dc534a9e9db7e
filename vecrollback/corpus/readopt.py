"""The log as its table has it, for a catalog that went back in time and names an older version of it."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.compute as pc

from vecrollback.catalog import CORPUS, Catalog
from vecrollback.corpus.columns import sound_row
from vecrollback.corpus.corpus import Corpus
from vecrollback.errors import CatalogOlderError, CorruptArtifactError
from vecrollback.records import CorpusState
from vecrollback.storage.forks import hold_off_forks, uses_tables
from vecrollback.storage.reading import MEND_TABLE


@uses_tables
def deleted_after(corpus: Corpus, head: int) -> dict[str, int]:
    """Ids deleted at a seq greater than `head`, and that seq, by the newest version, acknowledged or not."""
    with corpus.table.reported():
        newest = corpus.table.newest(corpus.state().version)
        rows = newest.to_table(columns=["id", "_seq"], filter=f"_deleted AND _seq > {int(head)}")
    return dict(zip(rows["id"].to_pylist(), rows["_seq"].to_pylist(), strict=True))


@uses_tables
def newest_head(corpus: Corpus) -> int:
    """The highest seq in the newest version of the table, acknowledged or not."""
    with corpus.table.reported():
        seqs = corpus.table.newest(corpus.state().version).to_table(columns=["_seq"])["_seq"]
    return int(pc.max(seqs).as_py() or 0)


@uses_tables
def readopt(corpus: Corpus, catalog: Catalog, seen_head: int) -> CorpusState:
    """Acknowledge the newest whole version again.

    Seqs go on after `seen_head` also where the changes up to it are gone: nothing that knows those may take new ones
    for them. Raises CorruptArtifactError for a document that differs from its digest.
    """
    with catalog.lock("corpus"), hold_off_forks(), corpus.table.reported():
        corpus.earlier.readopt()
        try:
            state, _ = corpus.recover()
        except CatalogOlderError:
            state = _adopt_newest(corpus, catalog)
        corpus.earlier.drop_after(state.head)
        if state.head < seen_head:
            catalog.ledger.commit(raised := replace(state, head=seen_head), expected=state)
            state = raised
    return state


def _adopt_newest(corpus: Corpus, catalog: Catalog) -> CorpusState:
    """Acknowledge the newest version although the catalog's own is gone; every row is compared with its digest."""
    before = catalog.ledger.state()
    dataset = corpus.table.newest(before.version)
    columns = [name for name in dataset.schema.names if name != "_updated_at"]
    head, documents, deleted = before.head, 0, []
    for batch in dataset.scanner(columns=columns).to_batches():
        for row in batch.to_pylist():
            if not sound_row(row, dataset.schema):
                raise CorruptArtifactError(f"document {row['id']!r} differs from its digest", hint=MEND_TABLE)
            head, documents = max(head, row["_seq"]), documents + (not row["_deleted"])
            if row["_deleted"] and row["_seq"] > before.head:
                deleted.append((row["id"], row["_seq"]))
    state = CorpusState(head, dataset.version, documents)
    catalog.ledger.commit(state, deleted, corpus.table.described(dataset).files, expected=before)
    catalog.files.keep_only(CORPUS, corpus.table.files(dataset))
    return state
