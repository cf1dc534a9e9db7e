"""Somebody else's package passes the suites that are shipped, with nothing of this repository at hand but the wheel."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vecrollback.testing
from tests.support.third_party import write_page
from vecrollback.errors import MissingDependencyError

_ROOT = Path(__file__).resolve().parents[2]
_ALONE = """
import importlib.util
from pathlib import Path

import vecrollback


def test_only_the_package_is_there():
    assert importlib.util.find_spec("tests") is None
    assert Path(vecrollback.__file__).is_relative_to(Path(__file__).parent / "wheel")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel unpacks to; without the tool that builds one, what it would hold."""
    folder = tmp_path_factory.mktemp("wheel")
    if importlib.util.find_spec("hatchling") is None:
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / "vecrollback", folder / "vecrollback", ignore=left_out)
        return folder
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        _ROOT,
    ]
    subprocess.run(command, check=True, timeout=200)
    [built] = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize(
    ("page", "tests", "least"),
    [
        ("embedder", "test_vowels.py", 39),
        pytest.param("connector", "test_lines.py", 7, marks=pytest.mark.slow),
        ("index-kind", "test_rounded.py", 60),
        pytest.param("engine", "test_pool.py", 6, marks=pytest.mark.slow),
    ],
)
def test_an_implementation_from_outside_passes_its_suite(
    page: str, tests: str, least: int, wheel: Path, tmp_path: Path
) -> None:
    write_page(page, tmp_path)
    shutil.copytree(wheel, tmp_path / "wheel")
    (tmp_path / "test_alone.py").write_text(_ALONE)
    # Without `site` no .pth file puts a checkout on the path.
    paths = [tmp_path / "wheel", tmp_path, *site.getsitepackages()]
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_alone.py", tests],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"(\d+) passed", done.stdout)
    assert counted and int(counted[1]) > least, done.stdout


def test_every_suite_is_there_by_name() -> None:
    for name in vecrollback.testing.__all__:
        suite = getattr(vecrollback.testing, name)
        assert suite.__name__ == name
        assert "class Test" in suite.__doc__, "a suite's docstring shows who adopts it"
    with pytest.raises(AttributeError, match="Nobody"):
        vecrollback.testing.Nobody  # noqa: B018


def test_the_package_needs_no_pytest_until_a_suite_is_asked_for() -> None:
    code = "import sys; import vecrollback.testing, vecrollback.testing.models; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_suite_without_pytest_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", None)
    monkeypatch.delitem(sys.modules, "vecrollback.testing.embedder_suite", raising=False)
    with pytest.raises(MissingDependencyError, match="pytest is not installed") as refused:
        vecrollback.testing.__getattr__("EmbedderConformance")
    assert "vecrollback[testing]" in refused.value.hint


def test_nothing_shipped_imports_the_tests_of_this_repository() -> None:
    for file in (_ROOT / "vecrollback").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) tests\b", file.read_text(), re.MULTILINE), file
