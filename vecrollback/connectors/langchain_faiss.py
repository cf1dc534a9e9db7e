"""What LangChain's `FAISS.save_local` wrote, an index and a pickle of its documents.

The pickle is read without running any of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vecrollback.connectors.base import Record, named
from vecrollback.connectors.faiss_documents import FaissDocuments
from vecrollback.connectors.inert_pickle import load_inert
from vecrollback.embedders.stamp import STAMP_FILE
from vecrollback.errors import UsageError

_FIELDS = ("id", "page_content", "metadata")


class LangchainFaissConnector(FaissDocuments):
    """An index with the documents that LangChain keeps beside it."""

    def __init__(self, folder: Path, name: str = "index") -> None:
        place = f"faiss:{folder}"
        if not (folder / f"{name}.faiss").is_file():
            there = named(sorted(path.name for path in folder.glob("*.faiss")))
            raise UsageError(
                f"{place}: there is no {name}.faiss", hint=f"indexes there: {there}; write faiss:FOLDER#NAME"
            )
        ids, documents = _documents(folder / f"{name}.pkl", place)

        def record(row: int) -> Record:
            """One row; a vector without a document has its number alone."""
            id_ = ids.get(row)
            document = documents.get(id_) or {}
            return {"id": str(row if id_ is None else id_), **{field: document.get(field) for field in _FIELDS[1:]}}

        super().__init__(place, folder / f"{name}.faiss", _FIELDS, record)
        stamp = folder / STAMP_FILE
        self.stamp = stamp.read_text(encoding="utf-8") if stamp.is_file() else None


def _documents(path: Path, place: str) -> tuple[dict[int, Any], dict[Any, Any]]:
    """By row its id, and by id its document."""
    if not path.is_file():
        raise UsageError(f"{place}: there is no {path.name} beside the index", hint="give the index itself: faiss:FILE")
    with path.open("rb") as stream:
        content = load_inert(stream, place)
    parts = content if isinstance(content, tuple) and len(content) == 2 else ({}, None)
    documents = parts[0].get("_dict") if isinstance(parts[0], dict) else None
    if type(documents) is not dict or type(parts[1]) is not dict:  # an inert value is a dict too
        raise UsageError(f"{place}: {path.name} is not what LangChain writes", hint="give the index itself: faiss:FILE")
    return parts[1], documents
