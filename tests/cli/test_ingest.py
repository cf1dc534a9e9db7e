"""`ingest`: documents go in."""

from __future__ import annotations

from pathlib import Path

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
