"""The locks of the scripts: every package by its hash, and all that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
EXTRAS = {"development": ("demo", "dev", "docs", "otel", "server"), "demo": ("demo",)}
_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+))?")


def locked(name: str) -> dict[str, list[tuple[str, Marker | None]]]:
    """Package -> its versions, each with the machines that it is for."""
    found: dict[str, list[tuple[str, Marker | None]]] = {}
    for line in (ROOT / f"scripts/locked/{name}.txt").read_text().splitlines():
        if match := _ENTRY.match(line):
            marker = Marker(match["marker"].strip()) if match["marker"] else None
            found.setdefault(canonicalize_name(match["name"]), []).append((match["version"], marker))
    return found


@pytest.mark.parametrize("name", ["development", "demo", "torch", "torch-cpu", "gpu"])
def test_every_package_has_a_hash(name: str) -> None:
    text = (ROOT / f"scripts/locked/{name}.txt").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.M), flags=re.M)
    assert len([one for one in entries if one.strip()]) == sum(len(versions) for versions in locked(name).values())
    for entry in filter(str.strip, entries):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}$", entry, flags=re.M), entry


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_has_what_the_package_asks_for(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(project["project"]["dependencies"])
    for extra in EXTRAS[name]:
        asked += project["project"]["optional-dependencies"][extra]
    asked += project["build-system"]["requires"]
    there = locked(name)
    for text in asked:
        requirement = Requirement(text)
        versions = there.get(canonicalize_name(requirement.name), [])
        assert versions, f"{text} is not in scripts/locked/{name}.txt: run scripts/lock"
        for version, _ in versions:
            assert requirement.specifier.contains(version, prereleases=True), f"{text}: run scripts/lock"


def test_the_builds_of_torch_are_of_one_version() -> None:
    constraint = (ROOT / "scripts/constraints.txt").read_text().splitlines()[-1]
    assert constraint == f"torch=={locked('torch')['torch'][0][0]}"
    assert f"{constraint}+cpu" == f"torch=={locked('torch-cpu')['torch'][0][0]}"
    assert not {one for one in locked("development") if one.startswith(("nvidia-", "torch", "triton"))}
