"""`csv:FILE`: a table in text, also separated by tabs, whose vectors are lists in one column or a column a number."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.connectors.listed import ListedRows, split_rows
from vecrollback.errors import UsageError

_NUMBERED = re.compile(r"^(.*?)[_.\[]?(\d+)\]?$")
_LEAST_COLUMNS = 4
_CURE = "a first line of names, and a vector as [0.1, 0.2, ...] in one column or as a column for each number"


def _read(path: Path) -> list[dict[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a vector of 4,096 numbers is longer than the default
    try:
        with pa.input_stream(str(path), compression="detect") as raw:
            text = raw.read().decode("utf-8-sig")
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = "there is no such file" if not path.exists() else str(error)
        raise UsageError(f"csv:{path}: {reason}", hint=_CURE) from error
    lines = text.splitlines(keepends=True)
    tabs = bool(lines) and lines[0].count("\t") > lines[0].count(",")
    semicolons = bool(lines) and lines[0].count(";") > lines[0].count(",")
    return list(csv.DictReader(lines, delimiter="\t" if tabs else ";" if semicolons else ","))


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its empty fields, lists of numbers read: as JSON, as PostgreSQL writes arrays, or as words."""
    return {name: _value(value) for name, value in row.items() if name and value not in ("", None)}


def _value(value: Any) -> Any:
    text = str(value).strip()
    if text[:1] not in "[{" or text[-1:] not in "]}" or ":" in text:
        return value
    body = text[1:-1].strip()
    try:
        numbers = json.loads(f"[{body}]")
    except ValueError:
        words = body.replace(",", " ").split()
        try:
            numbers = [float(word) for word in words]  # what NumPy prints
        except ValueError:
            return value
    return numbers if all(isinstance(one, int | float) for one in numbers) else value


def _joined(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose numbers stand in columns of their own, `dim_0`, `dim_1`, ..., with these as one vector."""
    families: dict[str, list[tuple[int, str]]] = {}
    for name in rows[0] if rows else ():
        if found := _NUMBERED.match(name or ""):
            families.setdefault(found.group(1), []).append((int(found.group(2)), name))
    columns = max(families.values(), key=len, default=[])
    if len(columns) < _LEAST_COLUMNS:
        return rows
    names = [name for _, name in sorted(columns)]
    joined = []
    for row in rows:
        try:
            vector: Any = [float(row[name]) for name in names]
        except (TypeError, ValueError):
            vector = None
        joined.append({key: value for key, value in row.items() if key not in names} | {"vector": vector})
    return joined


class CsvKind:
    """`csv:FILE`, or a file that ends in `.csv` or `.tsv`, packed or not. It is read whole.

    Example:
        >>> CsvKind().claims("vectors.tsv"), CsvKind().claims("vectors.txt")
        (True, False)
    """

    form, texts_beside = "csv:FILE", False

    def claims(self, place: str) -> bool:
        return ends_in(place.removesuffix(".gz").removesuffix(".zst"), ".csv", ".tsv")

    def open(self, place: str, options: OpenOptions) -> Connector:
        path = file_of(place, "csv")
        rows = _read(path)
        parsed = [_parsed(row) for row in rows]
        if not any(isinstance(value, list) for row in parsed[:100] for value in row.values()):
            parsed = [{**row, "vector": row.get("vector")} for row in _joined(rows)]
            parsed = [{name: value for name, value in row.items() if value not in ("", None)} for row in parsed]
        records, vectors, field = split_rows(parsed, options.vector, f"csv:{path}")
        return ListedRows(f"csv:{path}", records, vectors, facts={"vector_field": field})
