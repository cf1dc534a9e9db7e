"""`compare`: two pairs answer the same queries."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import cli, cli_json, keys_promised, refusal, text


def test_compare_tells_people_and_programs_and_writes_a_page(here: Path) -> None:
    (here / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{n}", "text": f"apples of crate {n}"}) + "\n" for n in range(10))
    )
    (here / "qrels.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\td{n + 10}\t1\n" for n in range(10))
    )
    asked = ("compare", "v1", "v2", "--queries", "queries.jsonl", "--qrels", "qrels.tsv", "-k", "5")
    found = cli_json(*asked, "--html", "report.html")
    assert set(found) == keys_promised("compare")
    assert [row["measure"] for row in found["differences"]] == ["ndcg@5", "recall@5", "mrr@5"]
    assert (here / "report.html").read_text().startswith("<!doctype html>")
    said = text(*asked)
    assert "v1@1 against v2@1: 10 queries, 10 with right answers, k = 5\n" in said
    assert "k = 5, joined with the words\n" in text(*asked, "--mode", "hybrid")
    assert cli_json(*asked, "--mode", "hybrid")["mode"] == "hybrid"
    assert refusal("compare", "v1", "v2", code=2)["message"] == "there is no query to ask"
    assert cli("compare", "v1", "v2", "--qrels", "qrels.tsv").exit_code == 2
