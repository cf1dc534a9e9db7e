"""What LangChain's FAISS saves, as a source; its pickle is read and never run.

Covers connectors.langchain_faiss, connectors.inert_pickle, connectors.faiss_file, connectors.faiss_vectors.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from vecrollback.connectors import open_connector
from vecrollback.connectors.inert_pickle import load_inert
from vecrollback.errors import UntrustedError, UsageError
from vecrollback.quality.doctor import ForeignIndex
from vecrollback.testing import ConnectorConformance
from vecrollback.testing.connector_suite import DIMENSION, rows, vectors


def save(folder: Path, name: str = "index") -> None:
    pytest.importorskip("langchain_community", reason="needs langchain-community")
    import faiss
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_community.vectorstores import FAISS

    store = FAISS(lambda _text: [0.0] * DIMENSION, faiss.IndexFlatL2(DIMENSION), InMemoryDocstore({}), {})
    # LangChain has no row without a text; the suite wants one, so its document is emptied afterwards.
    texts = [row.get("text", "") for row in rows()]
    pairs: Any = list(zip(texts, vectors().tolist(), strict=True))
    metadata = [{key: row[key] for key in ("model", "batch")} for row in rows()]
    store.add_embeddings(pairs, metadatas=metadata, ids=[row["id"] for row in rows()])
    for document in store.docstore._dict.values():
        document.page_content = document.page_content or None
    store.save_local(str(folder), name)


class TestLangchainFaiss(ConnectorConformance):
    metric, text_field = "l2", "page_content"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        save(folder)
        return f"faiss:{folder}", None


class TestLangchainFaissByName(ConnectorConformance):
    metric, text_field = "l2", "page_content"

    @classmethod
    def make(cls, folder: Path) -> tuple[str, Path | None]:
        save(folder, "notes")
        return f"langchain-faiss:{folder}#notes", None


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_runs_none(tmp_path: Path) -> None:
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(({"_dict": Bomb(tmp_path / "ran")}, {0: Bomb(tmp_path / "ran")})))
    with (tmp_path / "bomb.pkl").open("rb") as stream:
        content = load_inert(stream, "bomb")
    assert content[1][0].arguments == (str(tmp_path / "ran"),)
    assert not (tmp_path / "ran").exists()
    save(tmp_path)
    (tmp_path / "index.pkl").write_bytes((tmp_path / "bomb.pkl").read_bytes())
    with pytest.raises(UsageError, match="not what LangChain writes"):
        open_connector(f"faiss:{tmp_path}")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "index.pkl").write_bytes(b"\x80\x04garbage")
    with pytest.raises(UntrustedError, match="without running it"):
        open_connector(f"faiss:{tmp_path}")


def test_a_folder_without_what_is_needed_says_what_is_there(tmp_path: Path) -> None:
    save(tmp_path, "notes")
    with pytest.raises(UsageError) as refused:
        ForeignIndex(f"faiss:{tmp_path}")
    assert "notes.faiss" in refused.value.hint
    (tmp_path / "notes.pkl").unlink()
    with pytest.raises(UsageError, match=r"no notes\.pkl"):
        ForeignIndex(f"faiss:{tmp_path}#notes")
