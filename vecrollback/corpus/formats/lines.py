"""Physical lines of a text file, packed or not, and JSON lines: one object a line."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from vecrollback.corpus.documents import MAX_METADATA_BYTES, MAX_TEXT_BYTES
from vecrollback.corpus.formats.encodings import MARK_BYTES, marked
from vecrollback.corpus.formats.rows import Raw, ReadOptions
from vecrollback.errors import BadDocumentError
from vecrollback.records import Json

MAX_LINE_BYTES = 6 * (MAX_TEXT_BYTES + 2 * MAX_METADATA_BYTES)
"""No valid document is longer: JSON spends at most six bytes, as in \\u0001, on one."""

STDIN = Path("-")
_BOM = b"\xef\xbb\xbf"
_BUFFER = 1 << 18


def read_lines(source: Path, encoding: str = "") -> Iterator[bytes]:
    """Yield each line as UTF-8 with its line end, without the byte order mark.

    A line over MAX_LINE_BYTES comes back cut, one byte longer than the limit, so that a file without line ends cannot
    fill the memory. BadDocumentError: the file cannot be opened or read, or its compressed stream is damaged.
    """
    number = 0
    try:
        with contextlib.closing(open_text(source, encoding)) as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                    _skip_line(stream)
                yield line.removeprefix(_BOM) if number == 1 else line
    except UnicodeDecodeError as error:
        reason = f"not {error.encoding} after {number} lines"
        raise BadDocumentError(reason, hint="name its encoding", source=str(source), line=number) from error
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(source, error, line=number) from error


class Utf8Lines:
    """The lines of a stream in another encoding, as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding=encoding, newline="\n")

    def readline(self, most: int) -> bytes:
        """The next line with its end, or the part of it that has so many characters; empty at the end."""
        return self._text.readline(most).encode("utf-8", "surrogatepass")

    def close(self) -> None:
        self._text.close()


def open_text(source: Path, encoding: str = "") -> BinaryIO | Utf8Lines:
    """Open a file of text as UTF-8, whatever it is written in: a byte order mark says it, whatever was asked for."""
    stream: Any = open_bytes(source)
    encoding = marked(stream.peek(MARK_BYTES)[:MARK_BYTES], encoding) or "utf-8"
    # UTF-8 stays as it is: what is not valid in it is lost with its own line only.
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return cast(BinaryIO, stream)
    return Utf8Lines(stream, encoding)


def open_bytes(source: Path) -> BinaryIO:
    """Open a file, unpacked by its suffix; `-` is what comes in on standard input."""
    if source == STDIN:
        return cast(BinaryIO, io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False), _BUFFER))
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


def _skip_line(stream: BinaryIO | Utf8Lines) -> None:
    while (part := stream.readline(_BUFFER)) and not part.endswith(b"\n"):
        pass


def read_jsonl(source: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yield each object; blank lines are skipped."""
    for number, line in enumerate(read_lines(source, options.encoding), start=1):
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
