"""No command is silent for long: a line says what it is doing, with a terminal and without one.

Covers cli.support.heartbeat.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import shell, start
from tests.support import models
from vecrollback import Document, connect

MODEL = "tests.support.models:slow"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    with connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", f"note {n} on boats") for n in range(8)])
        store.promote(store.reembed(MODEL, name="one", index="Flat").wait(), reason="first")
        store.reembed("hash:64", name="two", index="Flat").wait()
    return root


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """While this file is there the model embeds no document."""
    path = tmp_path / "hold"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_check_that_takes_long_says_what_it_is_doing(store: Path, hold: Path, form: tuple[str, ...]) -> None:
    env = {models.HOLD: str(hold), "VECROLLBACK_PROGRESS": "0.1"}
    with start("check", "one", "--store", store, *form, env=env) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        while "embedding 8 texts again" not in line:
            assert line.startswith("check: "), line
            line = process.stderr.readline()
        hold.unlink()
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert line.startswith("check: ")
    assert line.rstrip().endswith(" s)")
    assert json.loads(out)["verdict"] == "pass" if form else "pass" in out


def test_progress_without_a_terminal_is_in_the_lines(store: Path, hold: Path) -> None:
    with connect(store) as opened:
        opened.upsert([Document(f"new{n}", f"note {n} on bread") for n in range(3)])
    env = {models.HOLD: str(hold), "VECROLLBACK_PROGRESS": "0.1", models.SECONDS: "0.4"}
    with start("catch-up", "one", "--store", store, env=env) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("catch-up: ")
        hold.unlink()
        _, rest = process.communicate(timeout=120)
    assert process.returncode == 0, rest


@pytest.mark.parametrize("arguments", [("gates", "two"), ("drill",), ("promote", "two")])
def test_commands_of_moves_are_not_silent_either(store: Path, arguments: tuple[str, ...]) -> None:
    done = shell(*arguments, "--store", store, env={"VECROLLBACK_PROGRESS": "0.005", models.SECONDS: "0.2"})
    assert f"{arguments[0]}: " in done.stderr


def test_the_lines_can_be_left_out(store: Path) -> None:
    done = shell("check", "one", "--store", store, env={"VECROLLBACK_PROGRESS": "never", models.SECONDS: "0.1"})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_quick_command_says_nothing(store: Path) -> None:
    done = shell("pairs", "--store", store, env={"VECROLLBACK_PROGRESS": "3600"})
    assert (done.returncode, done.stderr) == (0, "")
