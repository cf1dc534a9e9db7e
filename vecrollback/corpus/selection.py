"""Which documents a call is about: those of one namespace, and of these the ones that a filter matches.

Nothing of a filter reaches Lance but the names of columns: its planner recurses over what users write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.filters import Condition, FilteredRows, columns_of, matches, read_filter
from vecrollback.records import document_key

_ROWS_AT_ONCE = 1 << 16
_OF_A_NAMESPACE = document_key("", "\0")[1:]


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """Live documents of a namespace, "" for those without one, that satisfy a condition, None for all of them."""

    namespace: str = ""
    condition: Condition | None = None

    @classmethod
    def of(cls, where: str | None, namespace: str | None) -> DocumentSet:
        """The documents that a `where`, as `where_text` has it, matches in a namespace. Raises BadFilterError."""
        return cls(namespace or "", read_filter(where) if where else None)


def in_namespace(keys: pa.Array, namespace: str) -> pa.BooleanArray:
    """Which of these keys are of documents in a namespace, "" for those in none."""
    if namespace:
        return pc.starts_with(keys, document_key("", namespace))
    return pc.invert(pc.match_substring(keys, _OF_A_NAMESPACE))


def select_ids(dataset: Any, selection: DocumentSet) -> pa.Array:
    """Keys of the selected documents of a version of the table."""
    ids = [rows["id"].filter(mask) for rows, mask in _selected(dataset, selection, [])]
    return pa.chunked_array(ids, pa.string()).combine_chunks()


def select_rows(dataset: Any, selection: DocumentSet, after: str = "") -> pa.Table:
    """`id` and `_rowid` of the selected documents whose key is greater than `after`, ascending; reads no text."""
    ids: list[pa.Array] = []
    numbers: list[pa.Array] = []
    for rows, mask in _selected(dataset, selection, ["_rowid"]):
        later = pc.and_kleene(mask, pc.greater(rows["id"], after))
        ids.append(rows["id"].filter(later))
        numbers.append(rows["_rowid"].filter(later))
    columns = [pa.chunked_array(ids, pa.string()), pa.chunked_array(numbers, pa.uint64())]
    return pa.table(columns, names=["id", "_rowid"]).sort_by("id")


def count_namespaces(dataset: Any) -> dict[str, int]:
    """Namespace -> live documents, by name."""
    counts: dict[str, int] = {}
    for rows in dataset.scanner(columns=["id", "_deleted"], batch_size=_ROWS_AT_ONCE).to_batches():
        live = rows["id"].filter(pc.invert(rows["_deleted"]))
        names = pc.replace_substring_regex(live, pattern=f"^[^{_OF_A_NAMESPACE}]*$", replacement="")
        names = pc.replace_substring_regex(names, pattern=f"{_OF_A_NAMESPACE}.*", replacement="")
        for count in pc.value_counts(names).to_pylist():
            counts[count["values"]] = counts.get(count["values"], 0) + count["counts"]
    return dict(sorted(counts.items()))


def _selected(
    dataset: Any, selection: DocumentSet, also: Sequence[str]
) -> Iterator[tuple[pa.RecordBatch, pa.BooleanArray]]:
    """Batches of rows, and which of each are selected."""
    condition, schema = selection.condition, dataset.schema
    names = dict.fromkeys(["id", "_deleted", *(columns_of(condition, schema) if condition else ())])
    scanner = dataset.scanner(columns=list(names), with_row_id="_rowid" in also, batch_size=_ROWS_AT_ONCE)
    first = 0
    for rows in scanner.to_batches():
        mask = pc.and_(in_namespace(rows["id"], selection.namespace), pc.invert(rows["_deleted"]))
        if condition is not None:
            begin, count = first, len(rows)

            def metadata(begin: int = begin, count: int = count) -> pa.Array:
                # Read only where a column leaves something open: most filters never come here.
                column = dataset.scanner(columns=["metadata"], offset=begin, limit=count).to_table()["metadata"]
                return column.combine_chunks()

            mask = pc.and_kleene(matches(condition, FilteredRows(rows, mask, metadata)), mask)
        first += len(rows)
        yield rows, mask
