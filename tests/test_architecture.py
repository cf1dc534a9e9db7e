"""The shape of the code: layers, sizes, the public names, and what an import costs."""

from __future__ import annotations

import ast
import builtins
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import vecrollback

_ROOT = Path(__file__).resolve().parents[1]
_REFERENCE = ("store/store.py",)
"""Its docstrings are the API reference: of it only the code is counted, or they would have to stay short."""

_MODULES = sorted((_ROOT / "vecrollback").rglob("*.py"))

_SMALL = {
    "catalog/migrations/env.py": "what Alembic looks for, by that name",
    "testing/models.py": "worker processes load it by name, without pytest",
}
"""Modules of fewer than 40 lines that are no package's face, no command, no entry point and no migration; and why."""


def test_imports_point_down_the_layers() -> None:
    # in a process of its own: the linter switches off every logger that it finds
    code = "from importlinter.cli import lint_imports as lint; raise SystemExit(lint('pyproject.toml', cache_dir=None))"
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_stands_at_the_top_of_the_repository_is_there() -> None:
    places = (
        "pyproject.toml",
        "README.md",
        "vecrollback",
        "indices/README.md",
        "scripts",
        "tests",
        "benchmarks",
        "docs",
    )
    assert [place for place in places if not (_ROOT / place).exists()] == []


def test_every_module_is_in_the_layers() -> None:
    layers = (_ROOT / "pyproject.toml").read_text().split("[tool.importlinter]")[1]
    tops = {p.relative_to(_ROOT / "vecrollback").parts[0].removesuffix(".py") for p in _MODULES}
    missing = [name for name in sorted(tops - {"__init__", "__main__"}) if f"vecrollback.{name}" not in layers]
    assert not missing


@pytest.mark.parametrize("module", _MODULES, ids=lambda p: str(p.relative_to(_ROOT)))
def test_no_module_outgrows_its_name(module: Path) -> None:
    lines = module.read_text().splitlines()
    if module.relative_to(_ROOT / "vecrollback").as_posix() in _REFERENCE:
        lines = [line for line in _without_docstrings(module) if line.strip()]
    assert len(lines) <= 500


@pytest.mark.parametrize("module", _MODULES, ids=lambda p: str(p.relative_to(_ROOT)))
def test_no_module_is_too_small_to_stand_alone(module: Path) -> None:
    place = module.relative_to(_ROOT / "vecrollback")
    face = module.name in ("__init__.py", "__main__.py")
    command = place.parent == Path("cli")  # one command, one file
    migration = place.parent == Path("catalog/migrations/versions")
    assert face or command or migration or str(place) in _SMALL or len(module.read_text().splitlines()) >= 40


def test_the_exceptions_are_small_and_there() -> None:
    for name in _SMALL:
        assert len((_ROOT / "vecrollback" / name).read_text().splitlines()) < 40


def test_the_hallway_has_at_most_twenty_doors() -> None:
    rooms = {p.relative_to(_ROOT / "vecrollback").parts[0] for p in _MODULES}  # what a pull left behind has no module
    doors = {name for name in rooms if not name.startswith("__")}
    assert len(doors) <= 20, sorted(doors)
    assert [name for name in doors if name.endswith(".py")] == ["errors.py"]


_OF_EACH_FRAMEWORK = {"VecrollbackRetriever", "VecrollbackVectorStore"}
"""What the frameworks call alike: each has its own."""


def test_no_class_name_stands_for_two_things() -> None:
    places: dict[str, list[str]] = {}
    for module in _MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ClassDef) and node.name not in _OF_EACH_FRAMEWORK:
                places.setdefault(node.name, []).append(str(module.relative_to(_ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


_UNTESTED = ("records", "testing", "catalog.schema", "catalog.migrations")
"""Frozen values, suites, tables and migrations: what stands in them is tried by whoever uses it."""


def test_every_module_has_a_test_of_its_name_or_is_named_by_the_one_that_covers_it() -> None:
    tests = list(Path(__file__).parent.rglob("test_*.py"))
    names = {(path.relative_to(Path(__file__).parent).parts[0], path.stem) for path in tests}
    named: set[str] = set()
    for path in tests:
        _, _, covered = (ast.get_docstring(_parsed(path)) or "").partition("Covers ")
        named |= set(covered.replace("\n", " ").rstrip(".").split(", "))
    missing = []
    for module in _MODULES:
        place = module.relative_to(_ROOT / "vecrollback").with_suffix("")
        dotted = ".".join(place.parts)
        packages = {".".join(place.parts[:count]) for count in range(1, len(place.parts) + 1)}
        if place.name in ("__init__", "__main__") or len(place.parts) == 1 or dotted.startswith(_UNTESTED):
            continue
        if (place.parts[0], f"test_{place.name}") not in names and not packages & named:
            missing.append(dotted)
    assert not missing, "a file tests/ROOM/test_NAME.py, or `Covers room.name.` at the end of a test's docstring"


def test_every_law_has_its_file() -> None:
    folder = Path(__file__).parent / "laws"
    files = list(folder.glob("test_[0-9]*_*.py"))
    assert {int(path.name.split("_")[1]) for path in files} == set(range(1, 13))
    for path in files:
        assert any(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in _parsed(path).body)


def _parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def _without_docstrings(module: Path) -> list[str]:
    lines = module.read_text().splitlines()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node):
            first, last = node.body[0].lineno, node.body[0].end_lineno or 0
            lines[first - 1 : last] = [""] * (last - first + 1)
    return lines


def test_the_public_names_are_these() -> None:
    assert sorted(vecrollback.__all__) == [
        "AdoptOptions",
        "AdoptResult",
        "Approval",
        "AsyncClient",
        "AsyncStore",
        "AuditOptions",
        "Bridge",
        "CanaryRun",
        "CanaryStatus",
        "Cascade",
        "CascadeTrial",
        "CatchUp",
        "CaughtUpBy",
        "Certificate",
        "Client",
        "CorpusPlan",
        "CorpusRollback",
        "Decision",
        "DecisionResult",
        "Document",
        "Drill",
        "Effort",
        "ErasureExport",
        "ErasuresApplied",
        "ExportResult",
        "Finding",
        "Forecast",
        "Freeze",
        "GateVerdict",
        "GoldenQuery",
        "HistoryProof",
        "Hit",
        "IfAbsent",
        "Incident",
        "IncidentNature",
        "IngestOptions",
        "Ingested",
        "Job",
        "JobRecord",
        "Json",
        "KeptModel",
        "Level",
        "LivePair",
        "Manifest",
        "ModelAnswer",
        "Move",
        "Pair",
        "PairExport",
        "PairLike",
        "PairVectors",
        "Parity",
        "Plan",
        "Policy",
        "Progress",
        "ProgressCallback",
        "PromotedBy",
        "Queries",
        "Reconciled",
        "Report",
        "RestorePlan",
        "Result",
        "RuntimeBatches",
        "SearchMode",
        "Searcher",
        "Setback",
        "Situation",
        "SituationLine",
        "Snapshot",
        "Store",
        "Switched",
        "ThresholdTranslation",
        "UnembeddedDocument",
        "VecrollbackError",
        "WatchRound",
        "Weights",
        "Where",
        "WriteResult",
        "connect",
    ]
    assert all(getattr(vecrollback, name) is not None for name in vecrollback.__all__)


@pytest.mark.parametrize("owner", ["Store", "Client", "AsyncClient", "AsyncStore"])
def test_what_a_public_method_takes_and_gives_is_a_public_name(owner: str) -> None:
    """Whoever annotates a program of their own must not have to import from a room."""
    given = {"None", "Self", "T", "Any", "Path", "Unpack", "Callable", "Iterable", "Iterator", "Mapping", "Sequence"}
    given |= {"AsyncIterator", "httpx", "dt", *dir(builtins), *vecrollback.__all__}
    for name, method in inspect.getmembers(getattr(vecrollback, owner)):
        if inspect.isfunction(method) and not name.startswith("_"):
            for annotation in method.__annotations__.values():
                used = {one.id for one in ast.walk(ast.parse(annotation)) if isinstance(one, ast.Name)}
                assert used <= given, f"{owner}.{name}: {annotation}"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import vecrollback, sys; print(sorted({'numpy', 'pyarrow', 'torch', 'lance', 'faiss'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_opening_a_store_and_switching_loads_no_model_and_no_table(tmp_path: Path) -> None:
    code = (
        "import vecrollback, sys\n"
        f"store = vecrollback.connect({str(tmp_path)!r}, create=True); store.status(); store.history(); store.close()\n"
        "print(sorted({'torch', 'lancedb', 'sentence_transformers', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT, check=True)
    assert done.stdout.strip() == "[]"
