"""Examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("embedders", "indexes", "connectors", "reembedding/engines")


def _modules() -> list[str]:
    files = sorted(file for room in _ROOMS for file in (_ROOT / "vecrollback" / room).rglob("*.py"))
    return [
        ".".join(file.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files
        if ">>> " in file.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", _modules())
def test_every_example_of_the_module_is_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed
