"""`status`: how things stand.

Covers store.payloads, store.status, store.parts.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from tests.cli.support import cli, cli_json, keys_promised, refusal, text


def test_status_tells_what_serves_and_where_a_rollback_would_go(store: Path) -> None:
    state = cli_json("status")
    assert set(state) == keys_promised("status")
    assert state["alias"]["live"] == {"pair": "v2", "snapshot": 1, "epoch": 2}
    assert state["corpus"] == {"head": 43, "documents": 40}
    assert state["rollback"] == {"target": "v1@1", "reason": ""}
    needed = {"name", "state", "embedder", "fingerprint", "dimension", "snapshot", "watermark", "lag"}
    assert all(needed <= set(pair) for pair in state["pairs"])
    said = text("status")
    assert "v2@1  epoch 2" in said
    assert "3 changes behind" in said
    assert "to v1@1" in said


def test_status_says_why_no_rollback_is_possible(store: Path) -> None:
    text("rollback", "--reason", "worse answers")
    assert "quarantined (worse answers)" in text("status")
    assert cli_json("status")["rollback"]["target"] is None


def test_status_of_an_empty_store(tmp_path: Path) -> None:
    text("init", "--store", tmp_path)
    assert "nothing yet" in text("status", "--store", tmp_path)


def test_status_begins_with_the_verdict_and_names_what_to_type_next(store: Path) -> None:
    said = text("status").splitlines()
    assert said[0] == "Look at it"
    [drills] = [line for line in said if line.startswith("note") and "drills" in line]
    assert "the way back was never rehearsed" in drills
    assert drills.endswith("vecrollback drill")


def test_watching_into_a_pipe_says_a_line_for_each_change_only(store: Path) -> None:
    lines = text("status", "--watch", "--rounds", "3", "--interval", "0.2").splitlines()
    assert len(lines) == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ Look at it: .*", lines[0])
    done = cli("status", "--watch", "--rounds", "2", "--interval", "0.2", "--json")
    bodies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(body) for body in bodies] == [keys_promised("status")] * 2
    assert "0.2" in refusal("status", "--watch", "--interval", "0", code=2)["message"]


def test_watching_on_a_terminal_refreshes_in_place(store: Path) -> None:
    command = [sys.executable, "-m", "vecrollback", "status", "--watch", "--rounds", "2", "--interval", "0.2"]
    parent, child = pty.openpty()
    with subprocess.Popen(command, stdout=child, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        os.close(child)
        said = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            said += part
    os.close(parent)
    assert process.returncode == 0
    screens = said.decode().split("\x1b[H\x1b[2J\x1b[3J")
    assert len(screens) == 3
    assert all("v2@1  epoch 2" in screen for screen in screens[1:])
