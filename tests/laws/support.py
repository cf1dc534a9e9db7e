"""Embedders that the laws are tried with."""

from __future__ import annotations

COUNTED, FRAGILE = "tests.support.counting:embed", "tests.support.counting:fragile"
