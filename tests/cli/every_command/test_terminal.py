"""What a terminal of 80 columns shows: nothing that is copied into the next command is broken, states have colours.

Covers cli.support.tables, cli.support.output.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.cli.support import text
from vecrollback import Document, connect

_COLUMNS = 80
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(*arguments: str, env: dict[str, str] | None = None) -> str:
    """All that a command prints to a terminal of 80 columns, escape sequences included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, _COLUMNS, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "vecrollback", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment | (env or {})):
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not part:
                break
            said += part
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs with long names, and moves that have long reasons."""
    root = tmp_path_factory.mktemp("long") / "srv" / "stores-of-a-team-with-a-long-name" / "sentence-transformers"
    root.mkdir(parents=True)
    with connect(root / "store", create=True) as store:
        store.upsert([Document("d0", "apples"), Document("d1", "pears")])
        for name in ("first-model", "second-model"):
            store.promote(store.reembed(f"hash:64?seed={len(name)}", name=name).wait())
        store.rollback(reason="the answers about apples got worse since the upgrade of Tuesday, said support")
    return root / "store"


@pytest.mark.parametrize(
    "command", [["status"], ["pairs"], ["history", "--all"], ["incident", "list"], ["snapshot", "list"], ["audit"]]
)
def test_what_is_copied_from_the_screen_is_whole(long_names: Path, command: list[str]) -> None:
    shown = _ESCAPE.sub("", on_terminal(*command, "--store", str(long_names)))
    piped = text(*command, "--store", long_names)
    words = {word for word in piped.split() if not re.match(r"\d{4}-\d\d-\d\dT", word)}
    assert words, piped
    assert words <= {*shown.split()}, words - {*shown.split()}
    rows = [line for line in shown.splitlines() if re.match(r"(first|second)-model\b|\s+\d+  ", line)]
    assert all(len(line) <= _COLUMNS for line in rows), rows


def test_what_is_too_wide_for_its_row_follows_below_it(long_names: Path) -> None:
    lines = _ESCAPE.sub("", on_terminal("history", "--store", str(long_names))).splitlines()
    [row] = [n for n, line in enumerate(lines) if "rollback" in line]
    assert "first-model@1" in lines[row]
    assert lines[row + 1].strip() == (
        "reason the answers about apples got worse since the upgrade of Tuesday, said support"
    )


def test_times_are_relative_on_a_terminal_and_exact_in_a_pipe(long_names: Path) -> None:
    shown, piped = on_terminal("history", "--store", str(long_names)), text("history", "--store", long_names)
    assert re.search(r"\b\d+ (s|min) ago\b", shown)
    assert re.search(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", piped)
    assert "ago" not in piped


def test_a_row_in_a_pipe_is_one_line(long_names: Path) -> None:
    [row] = [line for line in text("history", "--store", long_names).splitlines() if "rollback" in line]
    assert row.endswith("said support")


def test_states_have_colours_unless_somebody_wants_none(long_names: Path) -> None:
    shown = on_terminal("pairs", "--store", str(long_names))
    assert "\x1b[32mlive\x1b[0m" in shown
    assert "\x1b[31mquarantined\x1b[0m" in shown
    plain = on_terminal("pairs", "--store", str(long_names), env={"NO_COLOR": "1"})
    assert "\x1b[3" not in plain
    assert "quarantined" in plain


def test_an_error_has_no_colour_where_nobody_wants_one(tmp_path: Path) -> None:
    place = str(tmp_path / "nowhere")
    assert "\x1b[31m" in on_terminal("status", "--store", place)
    assert "\x1b[" not in on_terminal("status", "--store", place, env={"NO_COLOR": "1"})
