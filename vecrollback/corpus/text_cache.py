"""Texts and metadata for answers: a memory-mapped file of the documents, and what changed since it was written.

Lance needs about a millisecond to take ten random rows; a query has less. The file is derived from the corpus, shared
by all pairs and all processes of a host, and may be deleted at any time. Its name holds its checksum, compared
before the file is mapped: a changed byte would be answered as text, or end the process. A damaged file is written anew.

It is written from a log whose files were all compared with their digests. Where one of those is damaged, what can be
read of the log answers in this process alone, and the file is written once the log is whole again.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.corpus.columns import EMBEDDED_TEXT, parse_metadata
from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.log_reader import ReadableLog
from vecrollback.records import CorpusState, Json
from vecrollback.storage.local import sync_directory, sync_file

_FILES = "documents-*.arrow"
_COLUMNS = ["id", "text", "metadata", "_seq", "_content_hash", "_deleted", EMBEDDED_TEXT]
_FILES_KEY = b"files"
_PRIVATE = "vecrollback-texts-"
_REBUILD_SHARE = 0.2
_REBUILD_LEAST = 20_000


@dataclass(frozen=True, slots=True)
class ChangedText:
    """A document as it is now, when it changed after the base file was written.

    `other_text`: the model gets another text than this one, so that no chunk of it can be shown.
    """

    text: str
    metadata: str
    content_hash: bytes
    deleted: bool
    other_text: bool


class Base:
    """The memory-mapped documents at one seq; row numbers are stable while it is open. The caller has compared it.

    `files`: those of the log that it was made of. `problem`: which documents are missing because the log is damaged.
    """

    def __init__(self, path: Path, head: int, problem: str = "") -> None:
        self.path = path
        self.head = head
        self.problem = problem
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        self.files = frozenset(json.loads((table.schema.metadata or {}).get(_FILES_KEY, b"[]")))
        self.ids: pa.ChunkedArray = table["id"]
        self.texts: pa.ChunkedArray = table["text"]
        self.metadata: pa.ChunkedArray = table["metadata"]
        self.hashes = hash_matrix(table["_content_hash"])
        # A file of an earlier version has no such column; no document had such a text then.
        self.other_text = np.asarray(table["other_text"]) if "other_text" in table.column_names else None

    def rows_of(self, ids: pa.Array) -> NDArray[np.int32]:
        """Row of each id, -1 where there is none."""
        if 4 * len(ids) > len(self.ids):
            return np.asarray(pc.fill_null(pc.index_in(ids, value_set=self.ids), -1), dtype=np.int32)
        # Few ids: hash them and stream the base past, rather than hash the base.
        wanted = ids.unique()
        code = np.asarray(pc.fill_null(pc.index_in(self.ids, value_set=wanted), -1))
        rows = np.full(len(wanted), -1, dtype=np.int32)
        present = np.flatnonzero(code >= 0)
        rows[code[present]] = present
        found: NDArray[np.int32] = rows[np.asarray(pc.index_in(ids, value_set=wanted))]
        return found


@dataclass(frozen=True, slots=True)
class TextCache:
    """All documents at one head: the base and the changes over it. Immutable; `advanced` makes the next.

    `version`: of the log, as it was read at this head. `problem`: which documents are missing, where files of the log
    are damaged.
    """

    base: Base
    head: int
    changed: Mapping[str, ChangedText]
    problem: str = ""
    version: int = 0

    def lookup(self, id_: str, row: int) -> tuple[str, Mapping[str, Json], bool]:
        """Text and metadata of a live document whose base row is known (-1: it has none).

        The third says whether the model got another text of it. One that cannot be read is empty.
        """
        change = self.changed.get(id_) if self.changed else None
        if change is not None:
            return change.text, parse_metadata(change.metadata), change.other_text
        base = self.base
        if row < 0:
            return "", {}, True
        text, metadata = base.texts[row].as_py(), base.metadata[row].as_py()
        other = base.other_text is not None and bool(base.other_text[row])
        return text, parse_metadata(metadata), other

    @property
    def needs_rebuild(self) -> bool:
        """Whether a new base pays."""
        return len(self.changed) > max(_REBUILD_LEAST, int(_REBUILD_SHARE * len(self.base.ids)))


def open_text_cache(corpus: Corpus, folder: Path) -> TextCache:
    """The documents at the acknowledged head; writes the base file when there is none, or a poor one."""
    texts = None
    if (base := _newest_base(folder)) is not None:
        texts = advanced(TextCache(base, base.head, {}), corpus)
        # What was written while the log was whole has more than can be written while it is damaged.
        if not texts.needs_rebuild or corpus.at_head(lambda state: corpus.readable(state.version)).problem:
            return texts
    base, version = corpus.at_head(lambda state: (_write_base(corpus, folder, state), state.version))
    if base.problem and texts is not None:
        return texts
    return TextCache(base, base.head, {}, base.problem, version)


def mended(texts: TextCache, corpus: Corpus) -> bool:
    """Whether texts that lack documents could be made whole now; asks for times and sizes of files."""
    return bool(texts.problem) and not corpus.at_head(lambda state: corpus.readable(state.version)).problem


def _may_write(folder: Path) -> bool:
    nearest = folder if folder.exists() else folder.parent
    return os.access(nearest, os.W_OK)


def advanced(texts: TextCache, corpus: Corpus) -> TextCache:
    """The chunks at the acknowledged head."""
    return corpus.at_head(lambda state: _advanced(texts, corpus, state))


def _advanced(texts: TextCache, corpus: Corpus, state: CorpusState) -> TextCache:
    if state.head == texts.head:  # a compaction makes a new version of the same documents
        return texts if state.version == texts.version else replace(texts, version=state.version)
    fresh: dict[str, ChangedText] = {}
    # Files that the base was made of hold no later change, and what is damaged in them is in the base.
    log = corpus.readable(state.version, known=texts.base.files)
    for batch in corpus.scan(state.version, columns=_COLUMNS, after=texts.head, log=log):
        columns = [batch[name].to_pylist() for name in ("id", "text", "metadata", "_content_hash", "_deleted")]
        columns.append(pc.is_valid(batch[EMBEDDED_TEXT]).to_pylist())
        fresh.update({id_: ChangedText(*rest) for id_, *rest in zip(*columns, strict=True)})
    changed = {**texts.changed, **fresh}
    return TextCache(texts.base, state.head, changed, log.problem or texts.base.problem, state.version)


def _newest_base(folder: Path) -> Base | None:
    for path in sorted(folder.glob(_FILES), reverse=True):
        try:
            head, _, checksum = path.stem.removeprefix("documents-").partition("-")
            if checksum == _checksum(path):  # a file of an earlier version has no checksum in its name
                return Base(path, int(head))
        except (OSError, pa.ArrowInvalid, ValueError):
            pass
        with contextlib.suppress(PermissionError):  # somebody who only reads leaves that to others
            path.unlink(missing_ok=True)
    return None


def _write_base(corpus: Corpus, folder: Path, state: CorpusState, log: ReadableLog | None = None) -> Base:
    log = log or corpus.readable(state.version, anew=True)
    kept = pa.schema(
        [("id", pa.string()), ("text", pa.large_string()), ("metadata", pa.string()), ("_content_hash", pa.binary(16))]
    )
    files = json.dumps(sorted(log.files))
    schema = kept.append(pa.field("other_text", pa.bool_())).with_metadata({_FILES_KEY: files})
    if not _may_write(folder) or (log.problem and not folder.name.startswith(_PRIVATE)):
        # Who only reads the store, or reads a part of it, has the file to itself: it is gone with the process.
        with tempfile.TemporaryDirectory(prefix=_PRIVATE) as private:
            return _write_base(corpus, Path(private), state, log)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as own:
        fresh = Path(own) / "documents.arrow"
        with pa.ipc.new_file(str(fresh), schema) as writer:
            for batch in _live(corpus.scan(state.version, columns=_COLUMNS, log=log)):
                columns = {f.name: batch[f.name] for f in kept} | {"other_text": pc.is_valid(batch[EMBEDDED_TEXT])}
                writer.write_table(pa.table(columns, schema=schema))
        sync_file(fresh)
        path = folder / f"documents-{state.head:020d}-{_checksum(fresh)}.arrow"
        fresh.replace(path)
    sync_directory(folder)
    for old in folder.glob(_FILES):
        if old.name < path.name:
            old.unlink(missing_ok=True)  # whoever has it mapped keeps reading it
    return Base(path, state.head, log.problem)


def _checksum(path: Path) -> str:
    """CRC-32 of a file, in hexadecimal. Against bits that flip, not against people: those can write the log itself.

    Six times as fast as SHA-256 (1 GiB in 0.2 s), and every process that opens the file waits for it.
    """
    checksum = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return f"{checksum:08x}"


def _live(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    for batch in batches:
        yield batch.filter(pc.invert(batch["_deleted"]))


def hash_matrix(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    """A binary(16) column as integers of shape (rows, 2), compared at once; a row's `.tobytes()` gives it back."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if not len(array):
        return np.empty((0, 2), dtype=np.uint64)
    whole = np.frombuffer(array.buffers()[1], dtype=np.uint64).reshape(-1, 2)
    return whole[array.offset : array.offset + len(array)]
