"""`runbook`: the page for the night."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import cli_json, keys_promised, refusal, text


def test_the_runbook_is_printed_or_written(store: Path, tmp_path: Path) -> None:
    printed = text("runbook")
    assert "vecrollback rollback" in printed
    assert "`v2@1`" in printed
    place = tmp_path / "runbook.md"
    written = cli_json("runbook", place)
    assert set(written) == keys_promised("runbook")
    assert written == {"path": str(place)}
    assert place.read_text().startswith("#")
    assert set(cli_json("runbook")) == {"markdown"}
    assert "No such file" in refusal("runbook", tmp_path / "none" / "runbook.md", code=2)["message"]


def test_the_runbook_says_how_it_stood_where_it_is_served_and_whom_to_wake(store: Path) -> None:
    written = text("runbook", "--server", "https://search.example.com")
    assert "| server, and its dashboard | https://search.example.com |" in written
    assert "Look at it. Now:" in written
    assert "| drills | note | the way back was never rehearsed | `vecrollback drill` |" in written
    for heading in ("There is nowhere to go back to", "It is well again when", "Roles, and when to wake the next one"):
        assert f"## {heading}\n" in written
    assert "> Acknowledged: " in written
    assert "> Resolved: " in written
