"""`--json` and `--store` mean the same before and after a command's name, in groups too.

Covers cli.app, cli.support.commands, cli.support.options, cli.support.session.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import cli, text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "--store", "STORE", "status"],
        ["--store", "STORE", "status", "--json"],
        ["--json", "status", "--store", "STORE"],
        ["status", "--json", "--store", "STORE"],
        ["--json", "--store", "STORE", "snapshot", "list"],
        ["--json", "snapshot", "--store", "STORE", "list"],
        ["snapshot", "--json", "list", "--store", "STORE"],
        ["snapshot", "list", "--store", "STORE", "--json"],
    ],
)
def test_options_work_on_both_sides(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.delenv("VECROLLBACK_STORE")
    monkeypatch.chdir(tmp_path)
    done = cli(*[str(store) if a == "STORE" else a for a in arguments])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)


def test_the_store_named_last_wins(store: Path) -> None:
    assert cli("--store", "/nowhere", "status", "--store", store).exit_code == 0
    assert cli("--store", "/nowhere", "status").exit_code == 2


def test_an_error_is_json_wherever_the_option_stands(store: Path) -> None:
    for arguments in (["--json", "check", "nobody"], ["check", "nobody", "--json"], ["--json", "check", "--bad"]):
        assert set(json.loads(cli(*arguments).stdout)) == {"error"}


def test_json_after_two_dashes_is_an_ordinary_word(store: Path) -> None:
    assert "answered by v2@1" in text("search", "-k", "1", "--", "--json")
