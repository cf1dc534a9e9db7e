"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from vecrollback.corpus.formats.lines import MAX_LINE_BYTES, read_lines
from vecrollback.corpus.formats.rows import Raw, RowFields
from vecrollback.records import Json


def read_jsonl(source: Path, _fields: RowFields) -> Iterator[Raw]:
    """Yield each object; blank lines are skipped."""
    for number, line in enumerate(read_lines(source), start=1):
        if line and not line.isspace():
            yield number, _parse(line)


def _parse(line: bytes) -> dict[str, Json] | str:
    if len(line) > MAX_LINE_BYTES:
        return f"the line is longer than {MAX_LINE_BYTES} bytes"
    try:
        found = json.loads(line.rstrip(b"\r\n").decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte {line[error.start]:#04x} at column {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"not readable JSON: {error}"
    return found if isinstance(found, dict) else f"not a JSON object but a {type(found).__name__}"
