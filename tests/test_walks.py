"""How far a document, a query and a rollback walk through the package: a ceiling on the files they enter, no time.

A walk that needs another file is not wrong. Whoever raises a number here has looked for the hop that could go instead.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import vecrollback

_SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "walks.py"
_CEILINGS = {  # walk: files, rooms
    "document: to the log": (17, 5),
    "document: catch-up": (45, 8),
    "document: whole way": (58, 9),
    "rollback: library": (28, 6),
    "rollback: HTTP": (41, 8),
    "query: warm": (20, 8),
    "query: warm HTTP": (30, 10),
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("walks", _SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def walks(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    if find_spec("fastapi") is None:
        pytest.skip("needs the server: pip install 'vecrollback[server]'")
    if sys.getprofile() is not None:
        pytest.skip("another profiler runs: run the tests without it")
    return script.measure(tmp_path_factory.mktemp("walks") / "store")


@pytest.mark.parametrize("walk", _CEILINGS)
def test_a_walk_enters_no_more_files_and_rooms_than_it_did(
    script: ModuleType, walks: dict[str, list[str]], walk: str
) -> None:
    files, rooms = _CEILINGS[walk]
    entered = walks[walk]
    assert len(entered) <= files, entered
    assert len(script.rooms(entered)) <= rooms, script.rooms(entered)


def test_what_a_walk_enters_is_there_and_begins_at_its_door(walks: dict[str, list[str]]) -> None:
    root = Path(vecrollback.__file__).parent
    assert all((root / file).is_file() for files in walks.values() for file in files)
    doors = {walk: files[0] for walk, files in walks.items()}
    for walk, door in doors.items():
        assert door.startswith("server/" if "HTTP" in walk else "store/"), (walk, door)


def test_a_query_changes_nothing_and_a_rollback_embeds_nothing(walks: dict[str, list[str]]) -> None:
    for walk, files in walks.items():
        if walk.startswith("query"):
            assert not [file for file in files if file.startswith(("reembedding/", "switching/"))], walk
        if walk.startswith("rollback"):
            assert not [file for file in files if file.startswith(("reembedding/", "embedders/", "indexes/"))], walk
