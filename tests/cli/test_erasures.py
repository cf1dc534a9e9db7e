"""`erasures`: deletes kept outside of the store, for an older copy that is put back."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_an_older_copy_takes_the_deletes_from_a_file(store: Path, tmp_path: Path) -> None:
    file, old = tmp_path / "erasures.jsonl", tmp_path / "old"
    shutil.copytree(store, old)
    cli_json("delete", "d1", "d4")
    written = cli_json("erasures", "export", file)
    assert set(written) == keys_promised("erasures", "export")
    assert written["written"] == 3  # one was deleted before
    assert f"`vecrollback erasures apply {file}`" in text("erasures", "export", file, "--store", old)
    assert "would delete 2 documents" in text("erasures", "apply", file, "--dry-run", "--store", old)
    applied = cli_json("erasures", "apply", file, "--store", old)
    assert set(applied) == keys_promised("erasures", "apply")
    assert applied["deleted"] == ["d1", "d4"]
    assert "deleted 0 documents" in text("erasures", "apply", file, "--store", old)
    hits = cli_json("search", "apples", "--store", old)["hits"]
    assert not {"d1", "d4"} & {hit["id"] for hit in hits}


def test_a_file_of_another_store_is_refused_until_it_is_named(store: Path, tmp_path: Path) -> None:
    cli_json("delete", "d1")
    cli_json("erasures", "export", tmp_path / "file")
    cli_json("init", "--store", tmp_path / "other")
    error = refusal("erasures", "apply", tmp_path / "file", "--store", tmp_path / "other", code=2)
    assert "--copy-of" in error["hint"]
