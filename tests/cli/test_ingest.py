"""`ingest`: documents go in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import cli, cli_json, keys_promised, text, write_documents
from vecrollback import connect


def test_ingest_tells_what_it_did(store: Path, tmp_path: Path) -> None:
    path = write_documents(tmp_path / "more.jsonl", 38, 44)
    done = cli_json("ingest", path)
    assert set(done) == keys_promised("ingest")
    assert (done["read"], done["changed"], done["unchanged"]) == (6, 4, 2)
    assert "0 changed, 6 unchanged" in text("ingest", path)


def test_ingest_names_fields_and_counts_bad_rows(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"key": "x1", "body": "grapes"}\nnot json\n')
    done = cli("ingest", path, "--id-field", "key", "--text-field", "body", "--skip-bad")
    assert done.exit_code == 0
    assert f"{path}:2:" in done.stderr
    with connect(store) as opened:
        assert opened.get(["x1"])["x1"].text == "grapes"


def test_ingest_applies_changes(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    path.write_text('{"op": "delete", "id": "d3"}\n{"op": "upsert", "id": "d4", "text": "quince"}\n')
    assert cli_json("ingest", path, "--changes")["deleted"] == 1


def test_ingest_mirrors_a_folder_and_tells_what_went_and_what_it_left_out(store: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("a.md", "b.html", "c.md", "picture.png"):
        (notes / name).write_text(f"<p>{name}")
    cli_json("ingest", notes)
    assert cli_json("ingest", notes, "--mirror", code=3)["error"]["type"] == "RefusedError"
    (notes / "c.md").unlink()
    planned = text("ingest", notes, "--mirror", "--dry-run")
    assert "would be deleted" in planned
    assert "c.md" in planned
    assert "left out: 1 .png" in planned
    done = cli_json("ingest", notes, "--mirror", "--within", "path != ''")
    assert (done["gone"], done["gone_ids"], done["left_out"]) == (1, ["c.md"], {".png": 1})
    assert cli_json("ingest", notes, "--mirror", "--override")["gone"] > 30


def test_ingest_reads_several_tables_with_a_delimiter_and_an_encoding(store: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_bytes("key;text\n1;Café\n1;Café\n".encode("cp1252"))
    other.write_bytes("key;text\n2;Straße\n".encode("cp1252"))
    options = ("--delimiter", ";", "--encoding", "cp1252", "--id-field", "key")
    assert "1 row came again" in text("ingest", one, other, *options)
    with connect(store) as opened:
        assert [document.text for document in opened.get(["1", "2"]).values()] == ["Café", "Straße"]
    assert cli_json("ingest", one, "--delimiter", "tab", "--generate-ids", code=2)["error"]


_CHROMA = """
import sys, chromadb, numpy as np
client = chromadb.PersistentClient(sys.argv[1])
graph = {"hnsw:sync_threshold": 50, "hnsw:batch_size": 10}
pages = client.create_collection("pages", embedding_function=None, metadata=graph)
for n in range(120):
    pages.add(ids=[f"p{n}"], embeddings=np.eye(1, 8, n % 8) + n, documents=[f"page {n} on boats"], metadatas=[{"n": n}])
"""


def test_ingest_rescues_the_texts_of_an_index_whose_vectors_are_damaged(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("chromadb", reason="pip install chromadb")
    folder = tmp_path / "chroma"
    # written by a process of its own: this one would keep open what is damaged now
    subprocess.run([sys.executable, "-c", _CHROMA, str(folder)], check=True)
    damaged = [path for path in folder.glob("*/*.bin") if path.stat().st_size]
    assert damaged
    for path in damaged:
        path.write_bytes(b"\xff" * path.stat().st_size)
    done = cli_json("ingest", f"chroma:{folder}#pages")
    assert (done["read"], done["changed"], done["rejected"]) == (120, 120, [])
    with connect(store) as opened:
        page = opened.get(["p7"])["p7"]
        assert (page.text, page.metadata) == ("page 7 on boats", {"n": 7})
    assert cli_json("ingest", f"chroma:{folder}#pages")["unchanged"] == 120
    refused = cli("ingest", f"chroma:{folder}#other")
    assert refused.exit_code == 2
    assert "pages" in refused.stderr, "it says what is there"
