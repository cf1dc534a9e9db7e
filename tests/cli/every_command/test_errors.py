"""Every exit code, reached by something that happens in real life; the same error for people and for programs.

Covers cli.support.output.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import V1, cli, cli_json, refusal, shell, start
from vecrollback import Store, connect

# -- 1: found something, or failed ------------------------------------------------------------------------------------


def test_check_that_finds_something_exits_1(damaged: Path) -> None:
    report = cli_json("check", "v1", code=1)
    assert report["verdict"] == "fail"
    assert all(set(f) == {"law", "kind", "count", "ids", "message", "severity", "about"} for f in report["findings"])
    assert "artifact_corrupt" in [f["kind"] for f in report["findings"]]
    said = cli("check", "v1")
    assert said.exit_code == 1
    assert "artifact_corrupt" in said.stdout


def test_rollback_whose_check_fails_exits_1_and_says_that_the_switch_stands(damaged: Path) -> None:
    done = cli("rollback", "--reason", "v2 is worse")
    assert done.exit_code == 1
    assert "live: v2@1 -> v1@1" in done.stdout
    assert "the switch itself stands: v1@1 is live" in done.stderr
    with connect(damaged) as store:
        assert store.live().name == "v1"


def test_rollback_whose_check_fails_is_one_json_document(damaged: Path) -> None:
    moved = cli_json("rollback", "--reason", "v2 is worse", code=1)
    assert (moved["to"], moved["check"]["verdict"]) == ("v1@1", "fail")


def test_rollback_that_cannot_catch_up_tells_the_trouble(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Store, "catch_up", broken)
    moved = cli_json("rollback", "--reason", "v2 is worse", code=1)
    assert (moved["to"], moved["trouble"]) == ("v1@1", "no space left on device")


def test_unexpected_exception_is_short_and_traced_only_on_demand(
    store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Store, "status", broken)
    error = refusal("status", code=1)
    assert error["type"] == "ZeroDivisionError"
    assert "Traceback" not in cli("status").stderr
    monkeypatch.setenv("VECROLLBACK_DEBUG", "1")
    assert "Traceback" in cli("status").stderr


# -- 2: usage and configuration ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["check", "nobody"], "UnknownNameError"),
        (["promote", "nobody"], "UnknownNameError"),
        (["rollback", "--to", "nobody", "--reason", "x"], "UnknownNameError"),
        (["restore", "v1@99", "--reason", "x"], "UnknownNameError"),
        (["snapshot", "show", "v1@99"], "UnknownNameError"),
        (["snapshot", "untag", "nothing"], "UnknownNameError"),
        (["rollback"], "UsageError"),
        (["restore", "v1@1"], "UsageError"),
        (["search", "apples", "--where", "no such column = 1"], "BadFilterError"),
        (["search", "  "], "UsageError"),
        (["ingest", "/nowhere/documents.jsonl"], "BadDocumentError"),
        (["delete", " "], "BadDocumentError"),
        (["reembed", "hash:many", "--name", "v3"], "EmbedderSpecError"),
        (["reembed", V1, "--name", "v3", "--index", "Nonsense"], "IndexSpecError"),
        (["reembed", V1, "--name", "a name"], "UsageError"),
        (["reembed", V1, "--settings", "[]"], "BadParameter"),
        (["reembed", V1, "--settings", "{"], "BadParameter"),
        (["check", "--bound", "200%"], "BadParameter"),
        (["check", "--confidence", "high"], "BadParameter"),
        (["check", "--sample", "some"], "BadParameter"),
        (["search", "apples", "-k", "0"], "BadParameter"),
        (["search"], "MissingParameter"),
        (["status", "--nonsense"], "NoSuchOption"),
        (["nonsense"], "UsageError"),
        (["snapshot"], "UsageError"),
        (["embedder", "show", "hash:many"], "EmbedderSpecError"),
    ],
)
def test_wrong_usage_exits_2(store: Path, arguments: list[str], kind: str) -> None:
    error = refusal(*arguments, code=2)
    assert error["type"] == kind
    assert error["message"]


def test_a_missing_store_exits_2_and_names_the_cure(tmp_path: Path) -> None:
    for command in (["status"], ["search", "x"], ["ingest", "x.jsonl"], ["rollback", "--reason", "x"], ["worker"]):
        error = refusal(*command, "--store", tmp_path / "none", code=2)
        assert error["type"] == "StoreNotFoundError"
        assert "vecrollback init" in error["hint"]
    assert not (tmp_path / "none").exists()


def test_a_bad_line_exits_2_and_loses_nothing_before_it(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text('{"id": "good", "text": "cherries"}\n{"id": 7.5}\n')
    done = cli("ingest", path)
    assert done.exit_code == 2
    assert f"{path}:2:" in done.stderr
    with connect(store) as opened:
        assert "good" in opened.get(["good"])


def test_usage_hint_names_the_command(store: Path) -> None:
    assert refusal("snapshot", "show", code=2)["hint"] == "`vecrollback snapshot show --help`"


# -- 3: refused by a safety rule --------------------------------------------------------------------------------------


def test_promote_of_a_pair_that_was_rolled_back_from_exits_3(store: Path) -> None:
    assert cli("rollback", "--reason", "worse answers").exit_code == 0
    error = refusal("promote", "v2", code=3)
    assert error["type"] == "QuarantinedError"
    assert "worse answers" in error["message"]
    assert cli("promote", "v2", "--override").exit_code == 3
    assert cli("promote", "v2", "--override", "--reason", "it was the network").exit_code == 0


def test_promote_of_a_damaged_pair_exits_3(damaged: Path) -> None:
    assert refusal("promote", "v1", code=3)["type"] == "CheckRefusedError"


def test_rollback_without_a_target_exits_3(store: Path) -> None:
    assert cli("rollback", "--reason", "worse answers").exit_code == 0
    for command in (["rollback", "--reason", "x"], ["rollback", "--dry-run"]):
        assert refusal(*command, code=3)["type"] == "NoRollbackTargetError"


def test_name_of_another_embedder_exits_3(store: Path) -> None:
    assert refusal("reembed", "hash:64?seed=9", "--name", "v1", code=3)["type"] == "PairStateError"


def test_deleting_a_snapshot_in_use_exits_3(store: Path) -> None:
    assert refusal("snapshot", "delete", "v2@1", code=3)["type"] == "PairStateError"


# -- streams ----------------------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_error(store: Path) -> None:
    with start("history") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.wait(timeout=60)
        assert process.stderr.read() == ""


def test_any_bytes_on_the_command_line_give_a_message(store: Path) -> None:
    done = shell("check", "caf\udce9", "--json", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert "caf" in json.loads(done.stdout)["error"]["message"]
    done = shell("check", "\N{PEAR}", "--json", env={"PYTHONIOENCODING": "ascii"})
    assert "\N{PEAR}" in json.loads(done.stdout)["error"]["message"]
    done = shell("check", "\N{PEAR}", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, "error: pair " in done.stderr) == (2, True)
