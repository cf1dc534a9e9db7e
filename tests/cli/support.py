"""Running the command line: in this process, or as a process of its own where start-up or signals matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from vecrollback.cli.app import app

V1, V2 = "hash:64?seed=1", "hash:64?seed=2"


def cli(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def cli_json(*arguments: str | Path, code: int = 0) -> Any:
    """Run a command with `--json`; its exit code is `code` and stdout one JSON document and nothing else."""
    done = cli(*arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def text(*arguments: str | Path, code: int = 0) -> str:
    """Run a command for people; returns its stdout."""
    done = cli(*arguments)
    assert done.exit_code == code, done.output
    return done.stdout


def refusal(*arguments: str | Path, code: int) -> dict[str, str]:
    """The error of a command, after it was seen to be the same in both forms."""
    error: dict[str, str] = cli_json(*arguments, code=code)["error"]
    assert set(error) == {"type", "message", "hint"}
    spoken = cli(*arguments)
    assert spoken.exit_code == code
    assert spoken.stdout == ""
    assert error["message"] in spoken.stderr
    assert not error["hint"] or f"hint: {error['hint']}" in spoken.stderr
    return error


def start(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "vecrollback", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (env or {}),
    )


def shell(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own to its end."""
    with start(*arguments, env=env) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def write_documents(path: Path, first: int, last: int, word: str = "apples") -> Path:
    rows = [{"id": f"d{i}", "text": f"{word} of crate {i}, row {i % 7}", "year": 2000 + i} for i in range(first, last)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
