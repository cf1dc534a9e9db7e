"""What must be quick, or must work while a model's packages are broken, imports none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "sentence_transformers", "transformers", "lancedb", "lance", "faiss", "scipy"}
NUMERIC = {"numpy", "pyarrow", "sqlalchemy"}

_PROBE = """
import sys
from vecrollback.cli.app import main
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    command = [sys.executable, "-c", _PROBE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "--json"],
        ["history"],
        ["pairs"],
        ["snapshot", "list"],
        ["rollback", "--dry-run"],
        ["rollback", "--no-catch-up", "--reason", "worse answers"],
        ["restore", "v1@1", "--no-catch-up", "--reason", "worse answers"],
    ],
)
def test_no_model_and_no_table_is_imported(store: Path, arguments: list[str]) -> None:
    assert not imported(*arguments) & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["rollback", "--help"], ["--version"]])
def test_help_does_not_even_import_numpy(arguments: list[str]) -> None:
    assert not imported(*arguments) & (HEAVY | NUMERIC)
