"""`affected`: what a bad pair answered, as far as it is recorded.

Covers switching.incidents.affected.
"""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text
from vecrollback import connect


def test_what_a_bad_pair_answered_is_listed(store: Path) -> None:
    with connect(store) as opened, opened.searcher() as searcher:
        for _ in range(3):
            searcher.search("apples")
    cli_json("rollback", "--reason", "worse answers")
    with connect(store) as opened, opened.searcher() as searcher:
        searcher.search("apples")
    found = cli_json("affected", "--pair", "v2")
    assert set(found) == keys_promised("affected")
    [term] = found["terms"]
    assert (found["answers"], term["answers"], term["searchers"]) == (3, 3, 1)
    assert term["began"] <= term["first_answer"] <= term["last_answer"] <= term["ended"]
    assert (found["incidents"], found["canary_answers"]) == ([1], 0)
    assert any("no answer is kept" in what for what in found["not_recorded"])
    first, second = cli_json("affected", "--pair", "v1")["terms"]
    assert (first["answers"], second["answers"], second["ended"]) == (0, 1, None)
    said = text("affected", "--pair", "v2")
    assert said.startswith("v2 gave 3 answers, 0 of them as a canary")
    assert "not recorded: which queries these were" in said


def test_a_time_narrows_it(store: Path) -> None:
    cli_json("rollback", "--reason", "worse answers")
    assert cli_json("affected", "--pair", "v2", "--since", "2999-01-01")["terms"] == []
    assert "it was not live then" in text("affected", "--pair", "v2", "--since", "2999-01-01T00:00")
    assert len(cli_json("affected", "--pair", "v2", "--since", "2020-01-01")["terms"]) == 1
    assert "valid time" in refusal("affected", "--pair", "v2", "--since", "noon", code=2)["message"]
    assert "v9" in refusal("affected", "--pair", "v9", code=2)["message"]
