"""Golden queries, comparisons, gates and canaries from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import V1, cli, cli_json, refusal, text
from tests.cli.test_commands import keys_promised
from vecrollback import connect


@pytest.fixture
def here(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    assert "v1@1 against v2@1: 10 queries, 10 with right answers, k = 5" in said
    assert refusal("compare", "v1", "v2", code=2)["message"] == "there is no query to ask"
    assert cli("compare", "v1", "v2", "--qrels", "qrels.tsv").exit_code == 2


def test_gates_are_looked_at_without_moving_and_stop_a_promote(here: Path) -> None:
    cli("golden", "add", "apples of crate 7", "-e", "d7")
    (here / "vecrollback.toml").write_text('[gates]\npromote = ["lag = 0", "ndcg@10 on nothing >= 0.5"]\n')
    cli("reembed", V1, "--name", "v3")
    found = cli_json("gates", "v3", code=1)
    assert set(found) == keys_promised("gates")
    assert [one["outcome"] for one in found["outcomes"]] == ["pass", "pass", "unknown"]
    assert "v3@1 does not pass" in text("gates", "v3", code=1)
    error = refusal("promote", "v3", code=3)
    assert error["type"] == "GateRefusedError"
    assert "unknown  ndcg@10 on nothing >= 0.5" in error["message"]
    (here / "vecrollback.toml").write_text('[gates]\npromote = ["lag = 0"]\n')
    done = cli_json("promote", "v3", "--reason", "as good")
    assert set(done) == keys_promised("promote")
    assert [one["gate"] for one in done["gates"]] == ["way back", "lag = 0"]
    assert "way back" in text("promote", "v1", "--reason", "as good, too")
    (here / "vecrollback.toml").write_text('[gates]\npromote = ["lga = 0"]\n')
    assert "did you mean 'lag'" in refusal("promote", "v3", "--override", "--reason", "x", code=2)["message"]


def test_a_canary_is_started_watched_advanced_and_stopped(here: Path, store: Path) -> None:
    (here / "vecrollback.toml").write_text("[canary]\nsteps = [5]\nbake_seconds = 0\n")
    assert refusal("canary", "status", code=2)["hint"] == "`vecrollback canary start PAIR`"
    cli("reembed", V1, "--name", "v3")
    cli("check", "v3")
    begun = cli_json("canary", "start", "v3", "--reason", "to see")
    assert set(begun) == keys_promised("canary", "start")
    assert "salt" not in begun["canary"]
    assert "v3 is tried against v2: step 0" in text("canary", "status")
    assert refusal("canary", "advance", code=3)["type"] == "PairStateError"
    assert cli_json("canary", "advance", "--override")["canary"]["share"] == 5.0
    assert "promote v3" in text("canary", "status")
    assert refusal("canary", "stop", code=2)["hint"]
    ended = cli_json("canary", "stop", "--reason", "enough")
    assert (ended["end_reason"], ended["pair"]) == ("enough", "v3")
    with connect(store) as opened:
        assert opened.live().name == "v2"
