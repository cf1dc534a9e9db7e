"""Rows of the documents table: which there are, and how they are found, read and told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.columns import EMBEDDED_TEXT
from vecrollback.errors import DocumentExistsError
from vecrollback.records import Document, key_parts, shown_key


def stored_rows(dataset: Any, keys: Sequence[str]) -> dict[str, tuple[bytes, bool]]:
    """Key -> (digest, deleted) of those documents that the table knows."""
    if not keys or not dataset.count_rows():
        return {}
    found = dataset.to_table(columns=["id", "_digest", "_deleted"], filter=any_of(keys))
    triples = zip(*(found[name].to_pylist() for name in ("id", "_digest", "_deleted")), strict=True)
    return {key: (digest, deleted) for key, digest, deleted in triples}


def any_of(keys: Sequence[str]) -> str:
    """The condition of Lance for these documents."""
    quoted = ", ".join("'" + one.replace("'", "''") + "'" for one in keys)
    return f"id IN ({quoted})"


def columns_there(dataset: Any, columns: Sequence[str]) -> list[str]:
    """Those of the columns that the table has; texts for the model may be in none."""
    return [name for name in columns if name != EMBEDDED_TEXT or name in dataset.schema.names]


def texts_for_model(rows: pa.Table) -> pa.ChunkedArray:
    """What the vectors of these rows are made from."""
    if EMBEDDED_TEXT not in rows.column_names:
        return rows["text"]
    return pc.coalesce(rows[EMBEDDED_TEXT], rows["text"])


def without_text(key: str) -> Document:
    """A document that is gone, of which only the key stays."""
    namespace, id_ = key_parts(key)
    return Document(id_, "", namespace=namespace)


def already_there(keys: Sequence[str]) -> DocumentExistsError:
    """The error of a write that was to write new documents only."""
    more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return DocumentExistsError(
        f"documents exist already: {', '.join(shown_key(one) for one in keys[:5])}{more}",
        hint="nothing was written; leave `if_absent` out to replace them, or 'skip' them",
    )
