"""`pair export`: a pair written to another place, with the proof that it is the same there."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_a_pair_is_written_to_a_file_and_compared(store: Path, tmp_path: Path) -> None:
    done = cli_json("pair", "export", "v2", tmp_path / "v2.parquet")
    assert set(done) == keys_promised("pair", "export")
    assert done["parity"]["verdict"] == "pass"
    assert done["parity"]["identical"] == done["parity"]["rows"] > 0
    assert text("pair", "export", "v2", tmp_path / "again.parquet").startswith("pass: ")
    assert cli_json("doctor", tmp_path / "v2.parquet")["facts"]["stamp"]


def test_a_pair_moves_into_a_database(store: Path, tmp_path: Path) -> None:
    said = text("pair", "export", "v2", f"lancedb:{tmp_path / 'db'}#v2", "--name", "moved")
    assert "it is pair moved now, 0 texts embedded" in said
    assert cli_json("promote", "moved", "--reason", "moved")["to"].startswith("moved@")


def test_a_place_that_cannot_be_one_is_refused(store: Path) -> None:
    assert "KIND:ADDRESS#NAME" in refusal("pair", "export", "v2", "nowhere", code=2)["message"]
