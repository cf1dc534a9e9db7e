"""What is installed is found as the standard library finds it, also what was installed a moment ago."""

from __future__ import annotations

from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

from vecrollback.storage.installed import distribution_of, entry_points_of


def test_every_name_belongs_to_the_distribution_that_the_standard_library_names() -> None:
    every = packages_distributions()
    assert len(every) > 20
    assert {name: distribution_of(name) for name in every} == {
        name: f"{holders[0]} {version(holders[0])}" for name, holders in every.items()
    }
    assert distribution_of("numpy.linalg") == distribution_of("numpy")
    assert distribution_of("nobody_wrote_this") is None


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("RECORD", "fresh/__init__.py,,\nfresh-2.dist-info/METADATA,,\n"),
        ("RECORD", "other.py,,\nfresh.py,sha256=abc,12\n"),
        ("RECORD", "fresh.abi3.so,,\n"),
        ("top_level.txt", "other\nfresh\n"),
    ],
)
def test_what_was_installed_meanwhile_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, lines: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert distribution_of("fresh.part") is None
    assert "fresh" not in entry_points_of("vecrollback.index_kinds")
    installed = tmp_path / "fresh-2.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: fresh\nVersion: 2\n")
    (installed / "entry_points.txt").write_text("[vecrollback.index_kinds]\nfresh = fresh:Kind\n")
    (installed / file).write_text(lines)
    assert distribution_of("fresh.part") == "fresh 2"
    assert distribution_of("fres") is None
    assert entry_points_of("vecrollback.index_kinds")["fresh"].value == "fresh:Kind"
