"""`golden`: queries whose answers are known."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_golden_queries_are_kept_listed_imported_and_forgotten(here: Path) -> None:
    kept = cli_json("golden", "add", "apples of crate 7", "-e", "d7=2", "--expect", "a=b", "--tag", "incident-12")
    assert set(kept) == keys_promised("golden", "add")
    assert (kept["expected"], kept["tags"]) == ({"d7": 2, "a=b": 1}, ["incident-12"])
    (here / "golden.jsonl").write_text('{"id": "x", "query": "row 3", "expected": ["d3"]}\n')
    assert cli_json("golden", "import", "golden.jsonl", "--tag", "hot") == {"imported": 1}
    assert [q["id"] for q in cli_json("golden", "list", "--tag", "hot")["queries"]] == ["x"]
    assert "apples of crate 7" in text("golden", "list")
    assert cli_json("golden", "remove", "x") == {"removed": ["x"]}
    assert "golden list" in refusal("golden", "remove", "x", code=2)["hint"]
    (here / "golden.jsonl").write_text('{"query": ""}\n')
    assert "golden.jsonl:1: " in refusal("golden", "import", "golden.jsonl", code=2)["message"]
