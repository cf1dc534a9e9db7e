"""Physical lines of a text file, packed or not, and JSON lines: one object a line."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from vecrollback.corpus.documents import MAX_METADATA_BYTES, MAX_TEXT_BYTES
from vecrollback.corpus.formats.rows import Raw, RowFields
from vecrollback.errors import BadDocumentError
from vecrollback.records import Json

MAX_LINE_BYTES = 6 * (MAX_TEXT_BYTES + 2 * MAX_METADATA_BYTES)
"""No valid document is longer: JSON spends at most six bytes, as in \\u0001, on one."""

_BOM = b"\xef\xbb\xbf"
_BUFFER = 1 << 18


def read_lines(source: Path) -> Iterator[bytes]:
    """Yield each line with its line end, without the byte order mark.

    A line over MAX_LINE_BYTES comes back cut, one byte longer than the limit, so that a file without line ends cannot
    fill the memory. BadDocumentError: the file cannot be opened or read, or its compressed stream is damaged.
    """
    number = 0
    try:
        with open_bytes(source) as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                    _skip_line(stream)
                yield line.removeprefix(_BOM) if number == 1 else line
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(source, error, line=number) from error


def open_bytes(source: Path) -> BinaryIO:
    """Open a file, unpacked by its suffix."""
    suffix = source.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(source, "rb"))
    if suffix == ".zst":
        import pyarrow as pa

        # Not zstandard's stream_reader: it takes a file that breaks off inside a frame for a whole one.
        stream = pa.CompressedInputStream(source.open("rb"), "zstd")
        return cast(BinaryIO, io.BufferedReader(stream, _BUFFER))
    return source.open("rb", buffering=_BUFFER)


def unreadable(source: Path, error: Exception, *, line: int = 0) -> BadDocumentError:
    """Say that the file cannot be read, after `line` good lines."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    progress = f" after {line} lines" if line else ""
    damaged = getattr(error, "errno", None) is None
    hint = (
        "is it damaged or incomplete? fetch or write it again" if damaged else "is the path right, and may you read it?"
    )
    return BadDocumentError(f"cannot be read{progress}: {reason}", hint=hint, source=str(source), line=line)


def _skip_line(stream: BinaryIO) -> None:
    while (part := stream.readline(_BUFFER)) and not part.endswith(b"\n"):
        pass


def read_jsonl(source: Path, _fields: RowFields) -> Iterator[Raw]:
    """Yield each object; blank lines are skipped."""
    for number, line in enumerate(read_lines(source), start=1):
        if line and not line.isspace():
            yield number, _parse(line)


def _parse(line: bytes) -> dict[str, Json] | str:
    if len(line) > MAX_LINE_BYTES:
        return f"the line is longer than {MAX_LINE_BYTES} bytes"
    try:
        value = json.loads(line.rstrip(b"\r\n").decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8: byte {line[error.start]:#04x} at column {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"not readable JSON: {error}"
    return value if isinstance(value, dict) else f"not a JSON object but a {type(value).__name__}"
