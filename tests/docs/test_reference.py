"""The API reference builds from the docstrings, without a network, and a reference that leads nowhere is named."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import vecrollback

pytest.importorskip("pdoc", reason="needs pdoc: pip install 'vecrollback[docs]'")
pytest.importorskip("fastapi", reason="needs a server: pip install 'vecrollback[server]'")

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = _ROOT / "scripts" / "build_reference.py"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("build_reference", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_builds_without_a_broken_reference(tmp_path: Path) -> None:
    command = [sys.executable, str(_SCRIPT), str(tmp_path / "pages")]
    # An address that nothing listens on: whatever asked the network would fail.
    environment = {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "https_proxy": "http://127.0.0.1:9"}
    built = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "pages" / "vecrollback.html").read_text()
    assert not [name for name in vecrollback.__all__ if f'id="{name}"' not in page]
    assert 'id="Store.rollback"' in page


def test_a_reference_to_nothing_is_named(reference: ModuleType) -> None:
    docstring = """See `Store.rollback`, `vecrollback.errors.VecrollbackError`, `vecrollback.nothing`, `Store.nothing`.

    Raises:
        PairStateError: it exists.
        ImaginaryError: it does not.
    """
    found = list(reference.references(inspect.cleandoc(docstring)))
    classes = reference.package_classes()
    broken = [name for name in found if not reference.resolves(name, vecrollback, classes)]
    assert broken == ["vecrollback.nothing", "Store.nothing", "ImaginaryError"]


def test_a_link_to_nothing_is_named(reference: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<p id="here"><a href="#here">a</a><a href="b.html">b</a><a href="#gone">c</a>')
    assert list(reference.broken_links(tmp_path)) == [
        "a.html: the link b.html leads nowhere",
        "a.html: the link #gone leads nowhere",
    ]
