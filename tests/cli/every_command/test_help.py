"""The help and the files: one command, one module, one test file; what is listed where, and how long a line may be."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vecrollback.cli
from tests.cli.support import cli, text
from vecrollback.cli.support.commands import EXIT_CODES, NAMES, PANELS, load, module_name
from vecrollback.cli.support.reference import json_shapes

_CODE = Path(vecrollback.cli.__file__).parent
_TESTS = Path(__file__).parents[1]
_MODULES = {module_name(name) for name in NAMES}
_LINE = 80


def test_every_command_has_its_file_and_every_file_its_command() -> None:
    assert {path.stem for path in _CODE.glob("*.py")} - {"__init__", "app"} == _MODULES


def test_every_command_has_its_test_file_and_every_test_file_its_command() -> None:
    assert {path.stem.removeprefix("test_") for path in _TESTS.glob("test_*.py")} == _MODULES


@pytest.mark.parametrize("name", NAMES)
def test_the_line_in_the_help_is_the_first_of_the_commands_own(name: str) -> None:
    line = next(lines[name] for lines in PANELS.values() if name in lines)
    assert (load(name).help or "").split("\n\n")[0] == line
    assert line in text(name, "--help")


def test_a_day_needs_a_dozen_commands_and_they_stand_first() -> None:
    first, *_ = PANELS.values()
    assert set(first) == {
        *("init", "ingest", "search", "reembed", "promote", "rollback"),
        *("catch-up", "status", "check", "history", "serve", "doctor"),
    }
    said = text("--help")
    places = [said.index(f" {panel} ") for panel in PANELS]
    assert places == sorted(places)


def test_every_line_of_a_command_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(_LINE))
    said = text("--help")
    for lines in PANELS.values():
        for name, line in lines.items():
            assert re.search(rf" {name} +{re.escape(line)} ", said), f"{name}: {len(line)} characters"


def test_a_command_that_is_misspelt_is_guessed() -> None:
    from tests.cli.support import cli

    done = cli("rolback")
    assert done.exit_code == 2
    assert "'rollback'" in done.stderr


def test_completion_knows_every_command_without_loading_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.cli.support import shell

    done = shell(env={"_VECROLLBACK_COMPLETE": "complete_bash", "COMP_WORDS": "vecrollback ro", "COMP_CWORD": "1"})
    assert done.stdout.split() == ["rollback"]
    done = shell(env={"_VECROLLBACK_COMPLETE": "complete_bash", "COMP_WORDS": "vecrollback jobs c", "COMP_CWORD": "2"})
    assert done.stdout.split() == ["cancel"]


def test_help_lists_the_exit_codes() -> None:
    said = text("--help")
    for code, meaning in EXIT_CODES.items():
        assert f"{code}  {meaning}" in said
    assert text() == said


def test_a_command_that_leaves_the_processor_to_others_does_what_it_does_otherwise(store: Path) -> None:
    # a process of its own: this one would stay in the class that yields
    command = [sys.executable, "-m", "vecrollback", "--idle", "--store", str(store), "pairs", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(text("--store", str(store), "pairs", "--json"))


def test_version() -> None:
    assert re.fullmatch(r"\d+\.\d+.*\n", text("--version"))


def test_every_command_has_help_and_both_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    for name, shape in json_shapes().items():
        said = text(*name.split(), "--help")
        assert "--json" in said
        assert "--store" in said
        assert f"JSON: {shape}" in said  # also what stands in brackets


def test_help_says_what_is_written_in_brackets() -> None:
    assert "`pip install 'vecrollback[demo]'`" in text("demo", "--help")
    assert "[policy]" in text("serve", "--help")


def test_a_group_without_its_command_names_those_it_has() -> None:
    refused = cli("jobs")
    assert refused.exit_code == 2
    assert "`vecrollback jobs` needs one of its commands: list, show, pause, resume, cancel" in refused.stderr
