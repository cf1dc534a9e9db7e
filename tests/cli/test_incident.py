"""`incident`: the records of rollbacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import cli, cli_json, keys_promised, refusal, text


@pytest.fixture
def rolled_back(store: Path) -> Path:
    cli_json("rollback", "--reason", "answers got worse")
    return store


def test_incidents_are_listed_and_shown(rolled_back: Path) -> None:
    [listed] = cli_json("incident", "list")["incidents"]
    assert set(listed) == keys_promised("incident", "show")
    assert cli_json("incident", "show", "1") == listed
    assert (listed["source"], listed["target"], listed["verdict"]) == ("v2@1", "v1@1", "pass")
    assert "v2@1" in text("incident", "list", "--open")
    assert "## Timeline" in text("incident", "show", "1")
    assert refusal("incident", "show", "9", code=2)["type"] == "UnknownNameError"


def test_an_incident_is_exported_once_and_never_over_something_else(rolled_back: Path, tmp_path: Path) -> None:
    place = tmp_path / "incident.md"
    assert cli_json("incident", "export", "1", place) == {"path": str(place), "incident": 1}
    assert place.read_text().startswith("# Incident 1: v2@1 to v1@1\n")
    assert "File exists" in refusal("incident", "export", "1", place, code=2)["message"]


def test_an_incident_is_closed_with_its_cause(rolled_back: Path) -> None:
    assert refusal("incident", "close", "1", code=2)["hint"].startswith("--cause")
    assert cli_json("incident", "close", "1", "--cause", "bad prompts")["notes"]["cause"] == "bad prompts"
    assert cli_json("incident", "list", "--open") == {"incidents": []}
    assert text("incident", "list", "--open") == "no incident yet\n"


def test_a_query_that_failed_becomes_a_golden_one(rolled_back: Path) -> None:
    kept = cli_json("incident", "add-golden", "1", "--query", "which crate", "--expect", "d1", "--expect", "d4")
    assert set(kept) == keys_promised("incident", "add-golden")
    assert (kept["tags"], set(kept["expected"])) == (["incident-1"], {"d1", "d4"})
    assert cli("incident", "add-golden", "7", "--query", "which", "--expect", "d1").exit_code == 2
