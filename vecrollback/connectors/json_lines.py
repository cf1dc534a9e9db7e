"""`jsonl:FILE`: JSON Lines whose rows have a list of numbers, also compressed (`.gz`, `.zst`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from vecrollback.connectors.application_json import row_of
from vecrollback.connectors.arrow_rows import ArrowConnector, MemoryColumns
from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.connectors.listed import ListedRows, split_rows
from vecrollback.corpus.formats.lines import open_bytes
from vecrollback.errors import UsageError

_ACTIONS = ("index", "create", "update", "delete")
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
    """`jsonl:FILE`, or a file that ends in `.jsonl` or `.ndjson`, compressed or not; bulk requests too.

    Rows may lack keys that others have. A list of another length is a vector of another size, which the doctor reports.
    """

    form, texts_beside = "jsonl:FILE", False

    def claims(self, place: str) -> bool:
        return ends_in(place, *_ENDINGS)

    def open(self, place: str, options: OpenOptions) -> Connector:
        path = file_of(place, "jsonl")
        if (rows := _nested(path)) is not None:
            records, vectors, field = split_rows(rows, options.vector, f"jsonl:{path}")
            return ListedRows(f"jsonl:{path}", records, vectors, facts={"vector_field": field})
        return ArrowConnector(_read(path), options.vector)


def _nested(path: Path) -> list[dict[str, Any]] | None:
    """Rows of a bulk request or an export, whose vectors stand deeper in; None where they are plain."""
    try:
        with open_bytes(path) as stream:
            first = json.loads(next((line for line in stream if line.strip()), b"{}"))
            if not isinstance(first, dict):
                return None
            bulk = len(first) == 1 and next(iter(first)) in _ACTIONS
            if not bulk and not any(isinstance(first.get(name), dict) for name in ("_source", "vector", "vectors")):
                return None
        with open_bytes(path) as stream:
            lines = [json.loads(line) for line in stream if line.strip()]
    except (OSError, EOFError, ValueError):
        return None  # whoever reads it as plain rows says what is wrong
    return _of_bulk(lines) if bulk else [row_of(line) for line in lines]


def _of_bulk(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents of a bulk request of Elasticsearch or OpenSearch, in order; a later one of an id counts."""
    rows: dict[str, dict[str, Any]] = {}
    at = iter(lines)
    for number, action in enumerate(at):
        [(name, target)] = action.items()
        id_ = str((target or {}).get("_id", f"#{number}"))
        if name == "delete":
            rows.pop(id_, None)
            continue
        source = next(at, {})
        if name == "update":
            source = {**rows.get(id_, {}), **(source.get("doc") or {})}
        rows[id_] = {**source, "_id": id_} if "id" not in source else {**source}
    return list(rows.values())
