"""One JSON value in a file: a list of objects, an object that holds such a list, or an object of objects by id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from vecrollback.corpus.formats.lines import read_jsonl, read_lines
from vecrollback.corpus.formats.rows import Raw, ReadOptions
from vecrollback.errors import BadDocumentError
from vecrollback.records import Json

MAX_JSON_BYTES = 1 << 30
"""The value is read as a whole; JSON Lines has no such limit."""


def read_json(source: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yield the objects, counted from 1; JSON Lines under this name are read as such.

    Raises BadDocumentError for a value that holds no objects, and for one of more than 1 GiB.
    """
    text = _whole(source, options)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # a second value after the first
            yield from read_jsonl(source, options)
            return
        raise BadDocumentError(f"not JSON: {error.msg}", source=str(source), line=error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise BadDocumentError(f"not readable JSON: {error}", source=str(source)) from error
    if not text.strip():
        return
    yield from enumerate(map(_object, _objects(value, options, source)), start=1)


def _whole(source: Path, options: ReadOptions) -> bytes:
    parts: list[bytes] = []
    size = 0
    for line in read_lines(source, options.encoding):
        parts.append(line)
        size += len(line)
        if size > MAX_JSON_BYTES:
            raise BadDocumentError(
                f"larger than {MAX_JSON_BYTES} bytes",
                hint="write it as JSON Lines, one object a line",
                source=str(source),
            )
    return b"".join(parts) or b"[]"


def _objects(value: Json, options: ReadOptions, source: Path) -> list[Json]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise BadDocumentError(f"a {type(value).__name__}, not a list of objects", source=str(source))
    if options.text_name.partition(".")[0] in value:
        return [value]
    lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
    if len(lists) == 1:
        return list(lists[0])
    if value and all(isinstance(item, dict) for item in value.values()):
        name = options.id_name(())
        return [{name: key, **item} for key, item in value.items()]
    raise BadDocumentError(
        f"an object that holds {len(lists)} lists of objects",
        hint="write the documents as a list, or as JSON Lines, one object a line",
        source=str(source),
    )


def _object(value: Json) -> dict[str, Json] | str:
    return value if isinstance(value, dict) else f"not a JSON object but a {type(value).__name__}"
