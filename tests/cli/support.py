"""Running the command line: in this process, or as a process of its own where start-up or signals matter."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from tests.support.spawner import spawn
from vecrollback import Document, connect
from vecrollback.cli.app import app
from vecrollback.cli.support.reference import json_shapes

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
    return spawn(["-m", "vecrollback", *map(str, arguments)], os.environ | (env or {}), cwd=Path.cwd())


def shell(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own to its end."""
    with start(*arguments, env=env) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def write_documents(path: Path, first: int, last: int, word: str = "apples") -> Path:
    rows = [{"id": f"d{i}", "text": f"{word} of crate {i}, row {i % 7}", "year": 2000 + i} for i in range(first, last)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def keys_promised(*path: str) -> set[str]:
    """Top-level keys of the JSON document that a command's help promises."""
    shape = re.match(r"\{(.*)\}", json_shapes()[" ".join(path)])
    assert shape is not None
    flat = shape[1]
    while (shorter := re.sub(r"[\[{][^\[\]{}]*[\]}]", "", flat)) != flat:
        flat = shorter
    return {key.split(":")[0].strip() for key in flat.split("}")[0].split(",")}


def half_done(root: Path) -> None:
    """Lay out a store in which the main job is half done: v1 has served, v2 is live, and documents changed since."""
    documents = write_documents(root.with_suffix(".jsonl"), 0, 40)
    with connect(root, create=True, actor="tester") as store:
        store.ingest(documents)
        store.promote(store.reembed(V1, name="v1").wait(), reason="first")
        store.promote(store.reembed(V2, name="v2").wait(), reason="said to be better")
        store.upsert([Document("d1", "pears, not apples"), Document("new", "plums")])
        store.delete(["d2"])
