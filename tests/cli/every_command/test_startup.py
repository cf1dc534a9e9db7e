"""What must be quick, or must work while a model's packages are broken, imports none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "sentence_transformers", "transformers", "lancedb", "lance", "faiss", "scipy"}
NUMERIC = {"numpy", "pyarrow", "sqlalchemy"}
NOT_FOR_A_SWITCH = {
    *HEAVY,
    "numpy",
    "pyarrow",
    "alembic",  # only a store of an older format is migrated
    "httpx",
    "fastapi",
    "obstore",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "tomllib",  # unless there is a vecrollback.toml
    "vecrollback.store.automation",
    "vecrollback.connectors",
    "vecrollback.corpus",
    "vecrollback.embedders",
    "vecrollback.indexes",
    "vecrollback.quality",
    "vecrollback.reembedding",
    "vecrollback.server",
    "vecrollback.serving",
    "vecrollback.storage.s3",
    "vecrollback.storage.lance_table",
}
"""Modules that `status` and a rollback do without: each costs processor time that somebody waits for at night."""

_PROBE = """
import sys
from vecrollback.cli.app import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "--json"],
        ["rollback", "--dry-run"],
        ["rollback", "--no-catch-up", "--reason", "worse answers"],
    ],
)
def test_a_switch_imports_only_the_catalog_and_the_switch(store: Path, arguments: list[str]) -> None:
    assert not imported(*arguments) & NOT_FOR_A_SWITCH


def test_a_rollback_into_a_pipe_draws_no_table(store: Path) -> None:
    assert "rich" not in imported("rollback", "--no-catch-up", "--reason", "worse answers")


def test_only_the_module_of_the_command_is_loaded(store: Path) -> None:
    commands = {name for name in imported("status") if name.count(".") == 2 and name.startswith("vecrollback.cli.")}
    assert commands - {"vecrollback.cli.app", "vecrollback.cli.support"} == {"vecrollback.cli.status"}


@pytest.mark.parametrize("arguments", [["--help"], ["rollback", "--help"], ["--version"]])
def test_help_does_not_even_import_numpy(arguments: list[str]) -> None:
    assert not imported(*arguments) & (HEAVY | NUMERIC)
