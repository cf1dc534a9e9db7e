"""`accept`: a document that can never be embedded is accepted by name."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from tests.cli.support import cli, cli_json, keys_promised, refusal, text
from vecrollback import Document


@pytest.fixture
def touchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECROLLBACK_STORE", str(tmp_path / "store"))
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} on {'poison' if n == 3 else 'boats'}") for n in range(40)])
        store.reembed("tests.support.models:touchy", name="v1").wait()


@pytest.mark.usefixtures("touchy")
def test_a_document_is_accepted_and_a_promote_needs_no_override() -> None:
    listed = cli_json("accept", "v1")
    assert set(listed) == keys_promised("accept")
    assert [(one["document"], one["acceptance"]) for one in listed["documents"]] == [("d3", None)]
    assert "this text breaks the model" in text("accept", "v1")
    assert cli("promote", "v1").exit_code != 0
    assert refusal("accept", "v1", "d3", code=2)["message"].endswith("needs a reason")
    assert refusal("accept", "v1", "--withdraw", code=2)["message"] == "no document is named"
    assert refusal("accept", "v1", "d4", "--reason", "x", code=2)["hint"] == "`vecrollback accept v1` lists them"
    said = cli_json("accept", "v1", "d3", "--reason", "a table of digits")["documents"][0]["acceptance"]
    assert said["reason"] == "a table of digits"
    assert "a table of digits" in text("accept", "v1")
    checked = cli_json("check", "v1")
    assert (checked["verdict"], [one["kind"] for one in checked["findings"]]) == ("pass", ["accepted"])
    assert cli("promote", "v1").exit_code == 0
    assert "pass, 1 accepted" in text("status")
    assert [one["action"] for one in cli_json("audit")["entries"]] == ["document.accept"]


@pytest.mark.usefixtures("touchy")
def test_what_was_accepted_can_be_taken_back() -> None:
    cli_json("accept", "v1", "d3", "--reason", "a table of digits")
    assert cli_json("accept", "v1", "d3", "--withdraw")["documents"][0]["acceptance"] is None
    assert cli_json("check", "v1", code=1)["verdict"] == "unknown"
