"""`jsonl:FILE`: JSON Lines whose rows have a list of numbers, also compressed (`.gz`, `.zst`)."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj

from vecrollback.connectors.arrow_rows import ArrowConnector, MemoryColumns
from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.errors import UsageError

_BLOCK = 64 << 20
"""Bytes read at a time: the longest row that there may be."""
_ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst")


def _read(path: Path) -> MemoryColumns:
    place = f"jsonl:{path}"
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            table = pj.read_json(stream, read_options=pj.ReadOptions(block_size=_BLOCK))
    except (OSError, pa.ArrowException) as error:
        reason = "there is no such file" if not path.exists() else str(error)
        raise UsageError(f"{place}: {reason}", hint="one JSON object a line, a list of numbers in each") from error
    return MemoryColumns(place, table)


class JsonLinesKind:
    """`jsonl:FILE`, or a file that ends in `.jsonl` or `.ndjson`, compressed or not.

    Rows may lack keys that others have. A list of another length is a vector of another size, which the doctor reports.
    """

    form, texts_beside = "jsonl:FILE", False

    def claims(self, place: str) -> bool:
        return ends_in(place, *_ENDINGS)

    def open(self, place: str, options: OpenOptions) -> Connector:
        return ArrowConnector(_read(file_of(place, "jsonl")), options.vector)
