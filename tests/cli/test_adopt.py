"""`adopt`: an index from elsewhere becomes a pair."""

from __future__ import annotations

import pytest

from tests.cli.support import cli_json, refusal, text
from tests.quality.test_doctor import OTHER, OWN, texts_of


@pytest.mark.usefixtures("vectors_elsewhere")
def test_an_adopted_index_serves() -> None:
    cli_json("init")
    done = cli_json("adopt", "vectors.npy", "--texts", "rows.jsonl", "--model", OWN, "--name", "v1", "--seed", "1")
    assert (done["pair"], done["documents"], done["reused"], done["embedded"], done["foreign"]) == (
        "v1",
        600,
        597,
        3,
        3,
    )
    assert done["check"]["verdict"] == "pass"
    assert done["examination"]["findings"][0]["kind"] == "foreign_vector"
    cli_json("promote", "v1", "--reason", "moved in")
    assert cli_json("search", texts_of(600)[30], "-k", "1")["hits"][0]["id"] == "d30"


@pytest.mark.usefixtures("vectors_elsewhere")
def test_adopting_says_what_was_embedded_and_why() -> None:
    cli_json("init")
    said = text("adopt", "vectors.npy", "--texts", "rows.jsonl", "--model", OWN, "--name", "v1")
    assert "597 vectors taken over, 3 texts embedded (3 foreign)" in said
    assert refusal("adopt", "vectors.npy", "--texts", "rows.jsonl", "--model", OTHER, "--seed", "1", code=3)["hint"]
