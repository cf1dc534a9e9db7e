"""A distribution with entry points, as `pip install` leaves one: importlib.metadata finds it, here and in workers."""

from __future__ import annotations

from pathlib import Path

import pytest


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **points: dict[str, str]) -> None:
    """Put a distribution on the path; `points`: by the group's last word, names and what they lead to.

    `install(tmp_path, monkeypatch, embedders={"voyage": "tests.support.voyage:open_voyage"})`
    """
    metadata = folder / "third_party-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    groups = [
        f"[vecrollback.{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
        for group, named in points.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(str(folder))
