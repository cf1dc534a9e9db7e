"""`snapshot`: taken, named, carried, deleted."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import V1, cli, cli_json, keys_promised, text, write_documents


def test_snapshots_are_made_named_shown_and_deleted(store: Path) -> None:
    taken = cli_json("snapshot", "create", "v1")
    assert set(taken) == keys_promised("snapshot", "create")
    assert taken["ref"] == "v1@2"
    assert cli_json("snapshot", "tag", "v1@1", "first") == {"tag": "first", "ref": "v1@1"}
    listed = cli_json("snapshot", "list", "v1")["snapshots"]
    assert [(one["ref"], one["tags"]) for one in listed] == [("v1@1", ["first"]), ("v1@2", [])]
    assert "first" in text("snapshot", "list")
    shown = cli_json("snapshot", "show", "first")
    assert (shown["ref"], shown["contents"]["embedder"]) == ("v1@1", V1)
    assert "fingerprint" in text("snapshot", "show", "v1@2")
    assert cli("snapshot", "delete", "v1@1").exit_code == 3
    assert cli_json("snapshot", "untag", "first") == {"tag": "first"}
    assert cli_json("snapshot", "delete", "v1@1") == {"deleted": "v1@1"}
    assert "took v1@3" in text("snapshot", "create", "v1", "--rebuild")


def test_a_snapshot_travels_to_another_store_in_one_file(store: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "v1.bundle"
    written = cli_json("snapshot", "export", "v1@1", bundle)
    assert set(written) == keys_promised("snapshot", "export")
    assert (written["snapshot"], written["bytes"]) == ("v1@1", bundle.stat().st_size)
    assert "wrote v1@1" in text("snapshot", "export", "v1@1", tmp_path / "again.bundle")
    other = tmp_path / "other"
    text("init", "--store", other)
    text("ingest", write_documents(tmp_path / "documents.jsonl", 0, 40), "--store", other)
    taken = cli_json("snapshot", "import", bundle, "--name", "moved", "--store", other)
    assert set(taken) == keys_promised("snapshot", "import")
    assert taken["pair"] == "moved"
    assert "moved@1" in text("snapshot", "import", bundle, "--name", "moved", "--store", other)


def test_no_file_is_no_bundle(store: Path, tmp_path: Path) -> None:
    assert cli_json("snapshot", "import", tmp_path / "none", code=2)["error"]["type"] == "BundleError"
