"""Commands on incidents, freezes and approvals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import cli, cli_json, refusal, text
from tests.cli.test_commands import keys_promised


@pytest.fixture
def rolled_back(store: Path) -> Path:
    cli_json("rollback", "--reason", "answers got worse")
    return store


def test_incidents_are_listed_shown_and_summed_up(rolled_back: Path) -> None:
    [listed] = cli_json("incident", "list")["incidents"]
    assert set(listed) == keys_promised("incident", "show")
    assert cli_json("incident", "show", "1") == listed
    assert (listed["source"], listed["target"], listed["verdict"]) == ("v2@1", "v1@1", "pass")
    assert "v2@1" in text("incident", "list", "--open")
    assert "## Timeline" in text("incident", "show", "1")
    report = cli_json("report")
    assert set(report) == keys_promised("report")
    assert (report["rollbacks"], report["success_rate"]) == (1, 1.0)
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


def test_a_frozen_store_warns_whoever_moves_it(store: Path) -> None:
    frozen = cli_json("freeze", "--reason", "release day")
    assert set(frozen) == keys_promised("freeze")
    done = cli("rollback", "--reason", "answers got worse")
    assert done.exit_code == 0
    assert "warning: 'live' is frozen" in done.stderr
    assert cli_json("unfreeze") == {"was_frozen": True}
    assert cli_json("unfreeze") == {"was_frozen": False}
    assert refusal("freeze", "--reason", "x", "--until", "someday", code=2)["hint"].startswith("like 20")


def test_a_restore_waits_for_two_people(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store / "vecrollback.toml").write_text("[policy.authority]\nrestore_approvals = 2\n")
    asked = refusal("restore", "v1@1", "--reason", "bad data", code=3)
    assert asked["hint"] == "each of them: `vecrollback approve 1`"
    [waiting] = cli_json("approvals", "--waiting")["approvals"]
    assert set(waiting) == keys_promised("reject")
    monkeypatch.setenv("VECROLLBACK_ACTOR", "anna")
    first = cli_json("approve", "1")
    assert set(first) == {"approval", "switched"}
    assert first["switched"] is None
    monkeypatch.setenv("VECROLLBACK_ACTOR", "ben")
    assert cli_json("approve", "1")["switched"]["to"] == "v1@1"
    assert cli_json("approvals", "--waiting") == {"approvals": []}
    assert "done" in text("approvals")


def test_a_request_is_refused(store: Path) -> None:
    (store / "vecrollback.toml").write_text("[policy.authority]\nrestore_approvals = 1\n")
    refusal("restore", "v1@1", "--reason", "bad data", code=3)
    assert cli_json("reject", "1", "--reason", "no")["state"] == "rejected"
    assert refusal("approve", "1", code=2)["message"] == "request 1 is rejected"
