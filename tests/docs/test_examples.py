"""The examples in README and docs run as they stand: blocks marked `bash` and `python`, in order, file by file.

A block marked `toml` that names entry points stands for a project that is installed: they are registered.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.third_party import register_project

_ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(bash|python|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", [p for p in _PAGES if _BLOCK.search(p.read_text())], ids=lambda p: p.name)
def test_every_example_on_the_page_runs(page: Path, tmp_path: Path) -> None:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": f"{_ROOT}:{tmp_path}",
        "OMP_NUM_THREADS": "1",
    }
    for language, code in _BLOCK.findall(page.read_text()):
        if language == "toml":
            register_project(tmp_path, code)
            continue
        command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
