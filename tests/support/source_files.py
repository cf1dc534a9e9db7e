"""Files for the tests of the readers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zstandard

from vecrollback.corpus.formats import Row, read_documents
from vecrollback.records import Document


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdCompressor().compress(data)
    path.write_bytes(data)
    return path


def jsonl(path: Path, rows: Iterable[object]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def one(path: Path, **options: Any) -> Row:
    (row,) = read_documents(path, **options)
    return row


def documents(path: Path, **options: Any) -> list[Document]:
    rows = list(read_documents(path, **options))
    assert [row.error for row in rows if row.error] == []
    return [row.document for row in rows if row.document]
