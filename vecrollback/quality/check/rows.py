"""Rows: the vectors of a pair against the log, up to the pair's watermark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.corpus.columns import DOCUMENT, EMBEDDED_TEXT, sound_document
from vecrollback.corpus.corpus import Corpus
from vecrollback.embedders.riding_probes import BatchProbes
from vecrollback.pairs.vectors import Vectors, came_by_bridge, newest
from vecrollback.quality.check.bridged import BRIDGED_MESSAGE, BRIDGED_VECTOR
from vecrollback.quality.check.findings import Notes
from vecrollback.quality.stages import Stages
from vecrollback.records import CorpusState, Pair, UnembeddedDocument
from vecrollback.records.arrays import FloatArray, row_lengths

_LENGTH_TOLERANCE = 1e-3
_LOG_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("_seq", pa.int64(), nullable=False),
        pa.field("_content_hash", pa.binary(16), nullable=False),
        pa.field("_deleted", pa.bool_(), nullable=False),
        pa.field("blank", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class LogRows:
    """The corpus at one version, by document: sorted by nothing, one row each. `sound`: as its digest says."""

    ids: pa.Array
    seq: NDArray[np.int64]
    deleted: NDArray[np.bool_]
    hashes: pa.Array
    blank: NDArray[np.bool_]
    sound: NDArray[np.bool_]


def read_log(
    notes: Notes,
    corpus: Corpus,
    state: CorpusState,
    tombstones: Mapping[str, int],
    after: Callable[[], None] = lambda: None,
) -> LogRows:
    """Read the whole log, verifying every document against its digests and every delete against the ledger.

    `after` is called after every batch.
    """
    columns = [*DOCUMENT, "_seq", "_content_hash", "_digest", "_deleted"]
    batches: list[pa.RecordBatch] = []
    corrupt: list[str] = []
    for batch in corpus.scan(state.version, columns=columns):
        corrupt += _corrupt(batch)
        embedded = pc.coalesce(batch[EMBEDDED_TEXT], batch["text"])
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(embedded)), 0)
        columns_of_log = batch.select(["id", "_seq", "_content_hash", "_deleted"])
        batches.append(columns_of_log.append_column("blank", blank))
        after()
    notes.add("document_corrupt", "documents differ from their digest", corrupt, about="log")
    whole = pa.Table.from_batches(batches, _LOG_SCHEMA).combine_chunks()
    arrays = {name: whole[name].combine_chunks() for name in whole.column_names}
    log = LogRows(
        ids=arrays["id"],
        seq=np.asarray(arrays["_seq"]),
        deleted=np.asarray(arrays["_deleted"], dtype=bool),
        hashes=arrays["_content_hash"],
        blank=np.asarray(arrays["blank"], dtype=bool),
        sound=~np.asarray(pc.is_in(arrays["id"], value_set=pa.array(corrupt, pa.string())), dtype=bool),
    )
    _examine_head(notes, log, state, tombstones)
    return log


def _corrupt(batch: pa.RecordBatch) -> list[str]:
    return [row["id"] for row in batch.to_pylist() if sound_document(row) is None]


def _examine_head(notes: Notes, log: LogRows, state: CorpusState, tombstones: Mapping[str, int]) -> None:
    head = int(log.seq.max(initial=0))
    if head != state.head:
        notes.add("head_differs", f"the log ends at {head}, the catalog says {state.head}", ["head"], about="log")
    live = int(np.count_nonzero(~log.deleted))
    if live != state.documents:
        notes.add(
            "head_differs",
            f"the log holds {live} documents, the catalog says {state.documents}",
            ["documents"],
            about="log",
        )
    deleted_ids = [log.ids[i].as_py() for i in np.flatnonzero(log.deleted)]
    seqs = log.seq[log.deleted].tolist()
    lost = [id_ for id_, seq in zip(deleted_ids, seqs, strict=True) if tombstones.get(id_, -1) < seq]
    notes.add("tombstone_missing", "deleted documents without their tombstone in the ledger", lost, about="log")
    notes.examined["documents"] = live
    notes.examined["tombstones"] = len(deleted_ids)


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """What the examinations of one pair look at, read once. `vectors`: row by row with `rows.keys`.

    `probes`: they ride with what is embedded to be compared. `stages`: whom to tell how far that is.
    """

    pair: Pair
    corpus: Corpus
    version: int
    log: LogRows
    rows: VectorKeys
    vectors: FloatArray
    probes: BatchProbes | None = None
    stages: Stages = field(default_factory=lambda: Stages("check"))


@dataclass(frozen=True, slots=True)
class VectorKeys:
    """All rows of the vectors table without their vectors, which of them count, and which came over a bridge."""

    keys: pa.Table
    counted: NDArray[np.int64]
    fingerprints: pa.ChunkedArray
    bridged: NDArray[np.bool_]

    def chunks(self) -> NDArray[np.int64]:
        """Rows that count and have a vector."""
        has_vector = np.asarray(self.keys["ordinal"])[self.counted] >= 0
        return np.asarray(self.counted[has_vector], dtype=np.int64)

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Document ids of these rows, each once."""
        return list(dict.fromkeys(self.keys["doc_id"].take(pa.array(rows)).to_pylist()))


def read_rows(vectors: Vectors, version: int, tombstones: Mapping[str, int]) -> VectorKeys:
    keys = vectors.keys(version)
    fingerprints = vectors.fingerprints(version)
    return VectorKeys(keys, newest(keys, dict(tombstones)), fingerprints, came_by_bridge(fingerprints))


def examine_rows(
    notes: Notes, log: LogRows, rows: VectorKeys, pair: Pair, given_up: Sequence[UnembeddedDocument]
) -> None:
    """No missing, stale, orphaned, duplicate or resurrected vector, against the log up to the watermark.

    `given_up`: what a job could not embed.
    """
    keys, live_rows = rows.keys, rows.counted
    place = np.asarray(pc.fill_null(pc.index_in(keys["doc_id"], value_set=log.ids), -1)) if len(log.ids) else None
    place = np.full(keys.num_rows, -1) if place is None else place
    seq = np.asarray(keys["seq"])
    in_log = place[live_rows] >= 0
    notes.add("orphaned_vector", "vectors of documents the log never held", rows.ids(live_rows[~in_log]))
    here = live_rows[in_log]
    document = place[here]
    dead = log.deleted[document]
    notes.add("resurrected_vector", "vectors of deleted documents would be served", rows.ids(here[dead]))
    here, document = here[~dead], document[~dead]
    # Given up means unknown, not missing (law 10), and only while the document is still at that seq.
    hopeless = _gave_up(log, {one.document: one.seq for one in given_up})
    accepted = _gave_up(log, {one.document: one.seq for one in given_up if one.acceptance})
    message = f"documents that the pair's model could not embed: `vecrollback accept {pair.name}` has the reasons"
    notes.add("not_embedded", message, _ids(log, hopeless & ~accepted & ~log.deleted), severity="unknown")
    message = f"documents without a vector, as was accepted by name: `vecrollback accept {pair.name}` says by whom"
    notes.add("accepted", message, _ids(log, accepted & ~log.deleted), severity="warn")
    due = (log.seq[document] <= pair.watermark) & ~hopeless[document]
    behind = due & (seq[here] != log.seq[document])
    notes.add("stale_vector", "vectors made before a change that the watermark covers", rows.ids(here[behind]))
    _examine_content(notes, log, rows, here[due & ~behind], document[due & ~behind])
    without_vector = ~log.deleted & (log.seq <= pair.watermark) & ~hopeless
    without_vector[document] = False
    notes.add("missing_vector", "documents without a vector", _ids(log, without_vector))
    notes.examined["vectors"] = len(live_rows)


def _gave_up(log: LogRows, seq_by_id: Mapping[str, int]) -> NDArray[np.bool_]:
    """Which documents are still at the seq at which a job gave them up."""
    if not seq_by_id:
        return np.zeros(len(log.seq), dtype=bool)
    place = np.asarray(pc.fill_null(pc.index_in(log.ids, value_set=pa.array(list(seq_by_id), pa.string())), -1))
    seqs = np.fromiter(seq_by_id.values(), np.int64, len(seq_by_id))
    return np.asarray((place >= 0) & (seqs[place] == log.seq), dtype=bool)


def _ids(log: LogRows, mask: NDArray[np.bool_]) -> list[str]:
    return list(log.ids.take(pa.array(np.flatnonzero(mask))).to_pylist())


def _examine_content(
    notes: Notes, log: LogRows, rows: VectorKeys, here: NDArray[np.int64], document: NDArray[np.int64]
) -> None:
    keys = rows.keys
    hashes = keys["content_hash"].take(pa.array(here))
    other = np.asarray(pc.not_equal(hashes, log.hashes.take(pa.array(document))), dtype=bool) & log.sound[document]
    notes.add("stale_vector", "vectors of another text than the document's", rows.ids(here[other]))
    ordinal = np.asarray(keys["ordinal"])[here]
    empty = (ordinal < 0) & ~log.blank[document]
    notes.add("missing_vector", "documents with text but without a vector", rows.ids(here[empty]))
    # Sorted by document and ordinal: two equal neighbours are a duplicate, a step over 1 is a chunk without a vector.
    by_document = np.lexsort((ordinal, document))
    same = np.diff(document[by_document]) == 0
    steps = np.diff(ordinal[by_document])
    notes.add(
        "duplicate_vector", "chunks with more than one vector", rows.ids(here[by_document][1:][same & (steps == 0)])
    )
    first = np.append(True, ~same) if len(here) else np.empty(0, bool)
    gaps = np.append(False, same & (steps > 1)) if len(here) else first
    broken = here[by_document][(first & (ordinal[by_document] > 0)) | gaps]
    notes.add("missing_vector", "documents with some chunks without a vector", rows.ids(broken))


def examine_vectors(notes: Notes, evidence: PairEvidence, same: frozenset[str]) -> None:
    """Provenance, dimension, finite values and length of every vector that counts."""
    pair, rows, vectors = evidence.pair, evidence.rows, evidence.vectors
    chunks = rows.chunks()
    if vectors.shape[1] != pair.dimension:
        notes.add(
            "dimension_differs", f"vectors have {vectors.shape[1]} dimensions, the pair {pair.dimension}", ["dimension"]
        )
        return
    own = np.asarray(pc.is_in(rows.fingerprints, value_set=pa.array(sorted(same), pa.string())), dtype=bool)
    foreign = chunks[~(own | rows.bridged)[chunks]]
    notes.add(BRIDGED_VECTOR, BRIDGED_MESSAGE, rows.ids(chunks[rows.bridged[chunks]]), severity="warn")
    notes.examined["bridged"] = int(np.count_nonzero(rows.bridged[chunks]))
    notes.add("foreign_fingerprint", "vectors recorded as made by another embedder", rows.ids(foreign))
    lengths = row_lengths(vectors)[chunks]
    finite = np.isfinite(lengths)
    notes.add("invalid_vector", "vectors with NaN or infinite values", rows.ids(chunks[~finite]))
    notes.add("invalid_vector", "zero vectors", rows.ids(chunks[finite & (lengths == 0)]))
    if pair.metric == "cosine":
        off = finite & (lengths > 0) & (np.abs(lengths - 1) > _LENGTH_TOLERANCE)
        notes.add("invalid_vector", "vectors that are not of unit length", rows.ids(chunks[off]))
