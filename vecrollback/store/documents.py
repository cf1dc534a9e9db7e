"""What a store does with documents: take files in, write, find, read, list, count and delete them.

These are methods of `Store`, which has everything else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from vecrollback.errors import LockHeldError, NotVisibleError, UsageError, refuse_unknown
from vecrollback.records import (
    Document,
    IfAbsent,
    Ingested,
    Pair,
    PairVectors,
    ProgressCallback,
    Result,
    SearchMode,
    Weights,
    Where,
    WriteResult,
    document_key,
    where_text,
)

if TYPE_CHECKING:
    from vecrollback.catalog import Catalog
    from vecrollback.corpus.ingest import IngestOptions
    from vecrollback.corpus.selection import DocumentSet
    from vecrollback.pairs.resources import Resources
    from vecrollback.records.arrays import FloatArray
    from vecrollback.serving.questions import Queries
    from vecrollback.store.parts import Parts

SECONDS_UNTIL_VISIBLE = 30.0
_PATIENCE_SECONDS = 0.1
"""How long to wait for the lock of a pair before looking at its watermark again: whoever holds it moves that."""


class DocumentMethods:
    """The methods of `Store` about documents."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _parts(self) -> Parts: ...
        @property
        def _catalog(self) -> Catalog: ...
        @property
        def resources(self) -> Resources: ...
        def live(self) -> Pair: ...

    def upsert(
        self,
        documents: Iterable[Document],
        visible: bool = False,
        if_absent: IfAbsent | None = None,
        *,
        namespace: str | None = None,
        vectors: PairVectors | None = None,
    ) -> WriteResult:
        """Write new and changed documents. They are durable when this returns.

        A document that equals the stored one changes nothing. Pairs take the changes in with the next `catch_up`, which
        a worker runs by itself; until then no query finds them, unless you say `visible`.

        Args:
            documents: The documents, each id at most once. All of them are written, or none.
            visible: Return when queries find them, as `wait` does, which then embeds them itself if nobody else does.
            if_absent: Write those alone that do not exist. `skip` leaves the others as they are, `fail` refuses all.
            namespace: That of documents that name none. One that names another is refused.
            vectors: One for each document, in their order, where they were embedded already, with what made them. They
                are taken over at once, but for a text that the live pair's model splits into chunks.

        Returns:
            How many were written and how many unchanged, and in `head` the number of the last change in the log.

        Raises:
            BadDocumentError: A document is not valid, or an id is given twice.
            DocumentExistsError: With `if_absent="fail"`, a document exists. Nothing was written.
            NoPairServesError: With `visible`, no pair is live. Nothing was written.
            NotVisibleError: With `visible`, it took longer than 30 seconds. The documents are written.
            FingerprintMismatchError: The vectors are of another embedder than the live pair's. Nothing was written.

        Example:
            >>> store.upsert([Document("jam", "Boil plums with sugar.", {"season": "autumn"})], visible=True)
            WriteResult(head=3, written=1, unchanged=0, deleted=0)
            >>> store.search("plums with sugar", k=1).hits[0].id
            'jam'
        """
        from vecrollback.corpus.documents import validate_batch

        if if_absent not in (None, "skip", "fail"):
            raise UsageError(f"if_absent is {if_absent!r}", hint="'skip', 'fail', or leave it out")
        batch = validate_batch(documents, namespace)
        pair = self.live() if visible or vectors is not None else None
        rows = self._vectors_for(pair, batch, vectors) if pair and vectors is not None else None
        result = self.resources.corpus.upsert(batch, if_absent=if_absent)
        if pair and rows is not None:
            self._parts.builder.take_over(pair, batch, rows)
        if visible:
            self.wait(result.head)
        return result

    def _vectors_for(self, pair: Pair, documents: list[Document], given: PairVectors) -> FloatArray:
        from vecrollback.serving.pair_vectors import require_vectors_of

        rows = require_vectors_of(pair, given, self.resources.catalog.equivalences)
        if len(rows) != len(documents):
            raise UsageError(f"{len(rows)} vectors for {len(documents)} documents", hint="one for each, in their order")
        return rows

    def ingest(
        self,
        path: str | Path | Sequence[str | Path],
        *,
        id_field: str | None = None,
        text_field: str | None = None,
        changes: bool = False,
        skip_bad: bool = False,
        mirror: bool = False,
        progress: ProgressCallback | None = None,
        **reading: Unpack[IngestOptions],
    ) -> Ingested:
        """Write the documents of files and folders in durable batches. A second run changes only what differs.

        Args:
            path: One or several of these: a file in JSON Lines, JSON, CSV, TSV (each also `.gz` and `.zst`) or Parquet;
                a text, HTML, Word or PDF file, whose name is the id; a folder of such files, whose paths are the ids,
                or of parts in one of the former formats; `-` for standard input; an index as `doctor` names it, whose
                texts are read and whose vectors are not.
            id_field: The field that holds the id, `a.b` for one inside another. Default: `id`, else `_id`.
            text_field: The field that holds the text, likewise. Default: `text`, after `title` where there is one.
            changes: The rows are changes. Each says in `op` what happened: add, update, upsert or delete.
            skip_bad: Report a row that is not a valid document, instead of stopping there.
            mirror: Delete what none of the sources has any more, once all of them were read without a rejected row, and
                nothing that was left out may hold it. Documents that somebody writes meanwhile stay.
            progress: Called after every batch.
            reading: See `IngestOptions`: format, delimiter, encoding, generated ids, what a mirror may delete.

        Returns:
            How many rows were read, changed, deleted something, were rejected, overwritten or repeated; what was left
            out; and the number of the last change.

        Raises:
            BadDocumentError: The file cannot be read, or a row is not a valid document; the error names its line. What
                came before it was written.
            RefusedError: A mirror would delete more than half of the documents. Nothing was deleted.
            UsageError: An option is not valid, or two do not go together.

        Example:
            >>> from pathlib import Path
            >>> _ = Path("more.jsonl").write_text('{"id": "soup", "text": "Simmer leeks and potatoes."}')
            >>> store.ingest("more.jsonl").changed
            1
        """
        from vecrollback.corpus.ingest import Ingestion, IngestOptions, read_options
        from vecrollback.corpus.mirror import Mirror
        from vecrollback.quality.doctor.source import files_and_rows

        refuse_unknown("ingest", reading, IngestOptions, "id_field", "text_field", "changes", "skip_bad", "mirror")
        corpus, dry_run = self.resources.corpus, reading.get("dry_run", False)
        options = read_options(id_field, text_field, changes, mirror, reading)
        within, override = where_text(reading.get("within")), reading.get("override", False) or dry_run
        target = Mirror(corpus, within, override=override) if mirror else None
        files, rows = files_and_rows([path] if isinstance(path, str | Path) else path, options)
        ingestion = Ingestion(corpus, skip_bad=skip_bad, progress=progress, dry_run=dry_run)
        with self._parts.deletes_hidden():
            return ingestion.run(files, options, target, rows)

    def wait(self, seq: int, timeout: float = SECONDS_UNTIL_VISIBLE) -> None:
        """Return once the live pair reflects the log up to a change. What it lacks is embedded here, or by a worker.

        From then on every query finds the change, in this process and in all others. Deletes need no waiting.

        Args:
            seq: Number of the change, `head` of a write.
            timeout: Seconds.

        Raises:
            NotVisibleError: It took longer.
            NoPairServesError: No pair is live.
            EmbeddingError: The model does not work.
            UsageError: The log has no such change yet.

        Example:
            >>> written = store.upsert([Document("jam", "Boil plums with sugar.")])
            >>> store.wait(written.head)
            >>> store.lag("v2")
            0
        """
        deadline = time.monotonic() + timeout
        head = self.resources.corpus.state().head
        if seq > head:
            raise UsageError(f"the log ends at change {head:,}; there is no {seq:,}", hint="wait for `head` of a write")
        while (pair := self.live()).watermark < seq:
            if (seconds_left := deadline - time.monotonic()) <= 0:
                reached = {"watermark": pair.watermark, "vectors_version": pair.vectors_version}
                raise NotVisibleError(pair.name, seq=seq, seconds=timeout, **reached)
            try:
                self._parts.builder.take_in(pair, deadline=deadline, patience=min(_PATIENCE_SECONDS, seconds_left))
            except LockHeldError:
                continue  # a worker, or another writer, is at it

    @overload
    def search(
        self,
        query: str,
        k: int = 10,
        where: Where | None = None,
        namespace: str | None = None,
        mode: SearchMode = "vector",
        *,
        key: str | None = None,
        include_vectors: bool = False,
        weights: Weights | None = None,
        reranker: str | None = None,
    ) -> Result: ...
    @overload
    def search(
        self,
        query: Queries | PairVectors,
        k: int = 10,
        where: Where | None = None,
        namespace: str | None = None,
        mode: SearchMode = "vector",
        *,
        key: str | None = None,
        include_vectors: bool = False,
        weights: Weights | None = None,
        reranker: str | None = None,
    ) -> list[Result]: ...
    def search(
        self,
        query: str | Queries | PairVectors,
        k: int = 10,
        where: Where | None = None,
        namespace: str | None = None,
        mode: SearchMode = "vector",
        *,
        key: str | None = None,
        include_vectors: bool = False,
        weights: Weights | None = None,
        reranker: str | None = None,
    ) -> Result | list[Result]:
        """Find the nearest documents, in the pair that is live at this moment.

        Opens the pair with the first query, and with the first after a move, unless the store was opened with `follow`.

        Args:
            query: The words to search for, or a list of queries, which are embedded together; or vectors that
                `embed_queries` gave.
            k: How many documents at most.
            where: A filter over the metadata: SQL such as `year > 2020`, or data such as `{"year": {"$gt": 2020}}`.
            namespace: The namespace to search in. Default: documents that are in none.
            mode: `vector` asks the live pair. `keyword` ranks documents by the words they share with the query (BM25),
                without any model. `hybrid` joins both lists, by reciprocal rank unless `weights` are given.
            key: Who asks. While a canary runs, it answers a stable share of the keys.
            include_vectors: Give each hit the vector of its chunk, too.
            weights: With `hybrid`, what vectors and words count, such as (0.7, 0.3): the scores of each list are spread
                over 0 to 1, and added up by these shares.
            reranker: What orders the best candidates in the end, by reading each beside the query: a string such as
                `cross-encoder:DIRECTORY`, or a name under `[rerankers]` in vecrollback.toml. Scores are its own then.

        Returns:
            The result, with pair, snapshot and epoch that answered. One without hits says in `reason` why: no pair is
            live, say. For a list of queries or vectors, a list of results in its order.

        Raises:
            UsageError: A query is blank.
            BadFilterError: `where` cannot be read.
            FingerprintMismatchError: The vectors are of another embedder than the live pair's.

        Example:
            >>> result = store.search("green tea", k=1)
            >>> result.pair, result.hits[0].id
            ('v2', 'tea')
            >>> [hit.id for hit in store.search("dough", mode="keyword").hits]
            ['bread']
        """
        return self._parts.searcher.search(
            query,
            k,
            where,
            namespace,
            mode,
            key=key,
            include_vectors=include_vectors,
            weights=weights,
            reranker=reranker,
        )

    def embed_queries(self, texts: Sequence[str]) -> PairVectors:
        """Embed queries with the model of the pair that is live at this moment.

        Args:
            texts: The queries.

        Returns:
            A vector for each, float32, shape (n, dimension), with fingerprint, pair and epoch. `search` takes them, and
            refuses them once a pair of another embedder is live.

        Raises:
            NoPairServesError: No pair is live.
            EmbeddingError: The model does not work.

        Example:
            >>> made = store.embed_queries(["green tea"])
            >>> made.pair, made.vectors.shape, store.search(made, k=1)[0].hits[0].id
            ('v2', (1, 64), 'tea')
        """
        return self._parts.searcher.embed_queries(texts)

    def embed_documents(self, texts: Sequence[str]) -> PairVectors:
        """Embed texts as documents, each as a whole, with the model of the pair that is live at this moment.

        Args:
            texts: The texts.

        Returns:
            A vector for each, float32, shape (n, dimension), with fingerprint, pair and epoch. `upsert` takes them.

        Raises:
            NoPairServesError: No pair is live.
            EmbeddingError: The model does not work.
            EmbedderChangedError: The model is not the one that made the pair.

        Example:
            >>> texts = ["Boil plums with sugar."]
            >>> made = store.embed_documents(texts)
            >>> store.upsert([Document("jam", texts[0])], vectors=made, visible=True).written
            1
        """
        return self._parts.searcher.embed_documents(texts)

    def delete(
        self, ids: Iterable[str] | None = None, where: Where | None = None, namespace: str | None = None
    ) -> WriteResult:
        """Delete documents for good. From now on no query returns them, whichever pair serves.

        Args:
            ids: The ids. An id that the store never held is noted as deleted, too: an import must not bring it back.
            where: In place of ids: all documents that this filter matches, at one moment.
            namespace: The namespace that the call is about. Default: documents that are in none.

        Returns:
            How many were deleted, and in `head` the number of the last change in the log. Ids without a document count
            as unchanged.

        Raises:
            BadDocumentError: An id is not valid.
            BadFilterError: `where` cannot be read.
            UsageError: `ids` is one string, or there are both or neither of ids and filter.

        Example:
            >>> store.delete(["bread"]).deleted
            1
        """
        if (ids is None) == (where is None):
            raise UsageError("delete takes either ids or `where`", hint="store.delete(['a']), store.delete(where=...)")
        with self._parts.deletes_hidden():
            if where is None:
                return self.resources.corpus.delete(_keys("delete", ids or (), namespace))
            condition = where_text(where)
            if condition is None:
                raise UsageError(
                    "delete with an empty filter would delete everything",
                    hint='{"key": {"$exists": true}} for a filter',
                )
            return self.resources.corpus.delete(_selection(condition, namespace))

    def get(self, ids: Sequence[str], namespace: str | None = None) -> dict[str, Document]:
        """Read documents by id.

        Args:
            ids: The ids. One that is unknown or deleted is left out of the answer.
            namespace: The namespace that the call is about. Default: documents that are in none.

        Returns:
            Id -> document, as the log has it now.

        Raises:
            BadDocumentError: An id is not valid.
            UsageError: `ids` is one string.

        Example:
            >>> store.get(["tea", "coffee"])["tea"].text
            'Steep green tea.'
        """
        corpus, keys = self.resources.corpus, _keys("get", ids, namespace)
        found = corpus.at_head(lambda state: corpus.get(keys, version=state.version))
        return {document.id: document for document in found.values()}

    def documents(
        self,
        where: Where | None = None,
        after: str | None = None,
        limit: int | None = None,
        namespace: str | None = None,
    ) -> Iterator[Document]:
        """Read all documents, or those that a filter matches, ordered by id. They are read as you take them.

        Args:
            where: A filter over the metadata, as for `search`.
            after: Begin after this id, which need not exist.
            limit: At most so many.
            namespace: The namespace that the call is about. Default: documents that are in none.

        Returns:
            An iterator over the documents, as the log has them when it begins.

        Raises:
            BadFilterError: `where` cannot be read.
            UsageError: `limit` is negative.

        Example:
            >>> [document.id for document in store.documents(after="bread")]
            ['tea']
        """
        if limit is not None and limit < 0:
            raise UsageError(f"limit is {limit}", hint="a whole number, or leave it out")
        selection = _selection(where, namespace)
        after_key = document_key(after or "", selection.namespace)
        return self.resources.corpus.documents(selection, after=after_key, limit=limit)

    def count(self, where: Where | None = None, namespace: str | None = None) -> int:
        """Count all documents, or those that a filter matches.

        Args:
            where: A filter over the metadata, as for `search`.
            namespace: The namespace that the call is about. Default: documents that are in none.

        Returns:
            How many the log has now.

        Raises:
            BadFilterError: `where` cannot be read.

        Example:
            >>> store.count()
            2
        """
        return self.resources.corpus.count(_selection(where, namespace))

    def namespaces(self) -> dict[str, int]:
        """Count the documents of every namespace.

        Returns:
            Namespace -> documents, in the order of the names; "" is that of documents in none.

        Example:
            >>> written = store.upsert([Document("tea", "Steep black tea.")], namespace="kb-7")
            >>> store.namespaces()
            {'': 2, 'kb-7': 1}
        """
        return self.resources.corpus.namespaces()

    def drop_namespace(self, namespace: str) -> WriteResult:
        """Delete all documents of a namespace for good.

        Args:
            namespace: Its name.

        Returns:
            How many were deleted.

        Raises:
            UsageError: The name is empty: documents that are in none are not dropped together.

        Example:
            >>> written = store.upsert([Document("tea", "Steep black tea.")], namespace="kb-7")
            >>> store.drop_namespace("kb-7").deleted
            1
        """
        if not namespace:
            raise UsageError("drop_namespace takes a name", hint="store.delete(where=...) for documents in none")
        with self._parts.deletes_hidden():
            return self.resources.corpus.delete(_selection(None, namespace))


def _selection(where: Where | None, namespace: str | None) -> DocumentSet:
    from vecrollback.corpus.documents import validate_namespace
    from vecrollback.corpus.selection import DocumentSet

    return DocumentSet.of(where_text(where), validate_namespace(namespace or ""))


def _keys(method: str, ids: Iterable[str], namespace: str | None) -> list[str]:
    from vecrollback.corpus.documents import validate_id, validate_namespace

    if isinstance(ids, str):
        raise UsageError(f"{method} takes a list of ids, not one string", hint=f"store.{method}([{ids!r}])")
    place = validate_namespace(namespace or "")
    return [document_key(validate_id(id_), place) for id_ in ids]
