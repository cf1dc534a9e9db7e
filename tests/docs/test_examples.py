"""The examples in README and docs run as they stand: blocks marked `bash` and `python`, in order, file by file.

A block marked `toml` that names entry points stands for a project that is installed: they are registered.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import forked_command
from tests.support.spawner import spawn, spawner
from tests.support.third_party import register_project

_ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(bash|python|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PIPES: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]


def _pages() -> Iterator[Any]:
    """Those that run the suites that ship are slow: `tests/testing/test_from_outside.py` does so each time."""
    for page in _PAGES:
        if code := "".join(code for _, code in _BLOCK.findall(page.read_text())):
            yield pytest.param(page, id=page.name, marks=pytest.mark.slow if "pytest" in code else ())


@pytest.mark.parametrize("page", [*_pages()])
def test_every_example_on_the_page_runs(page: Path, tmp_path: Path) -> None:
    """`vecrollback` and Python are processes that need not import everything anew."""
    _run(page, tmp_path, forked=True)


@pytest.mark.slow
def test_the_front_page_runs_as_it_stands(tmp_path: Path) -> None:
    _run(_ROOT / "README.md", tmp_path, forked=False)


def _run(page: Path, tmp_path: Path, *, forked: bool) -> None:
    places = [Path(sys.executable).parent, *map(Path, os.environ["PATH"].split(os.pathsep))]
    if forked:
        places.insert(0, forked_commands(tmp_path / ".bin"))
    environment = {
        "PATH": os.pathsep.join(map(str, places)),
        "HOME": str(tmp_path),
        "PYTHONPATH": f"{_ROOT}:{tmp_path}",
        "OMP_NUM_THREADS": "1",
    }
    for language, code in _BLOCK.findall(page.read_text()):
        if language == "toml":
            register_project(tmp_path, code)
            continue
        plain = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
        if language == "python" and forked:
            process = spawn(["-c", code], environment, cwd=tmp_path)
        else:
            process = subprocess.Popen(plain, cwd=tmp_path, env=environment, text=True, **_PIPES)
        try:
            said = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 0, "\n".join((code, *said))


def forked_commands(folder: Path) -> Path:
    """A folder whose `vecrollback` is forked from a process that has imported it."""
    if sys.platform == "linux":
        folder.mkdir()
        words = map(shlex.quote, (sys.executable, "-SE", forked_command.__file__, spawner().address, "vecrollback"))
        (folder / "vecrollback").write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (folder / "vecrollback").chmod(0o755)
    return folder
