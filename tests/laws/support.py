"""What the laws' stores hold."""

from __future__ import annotations

from tests.support.operations import words
from tests.support.oracle import ONE, TWO

TEXTS = {f"d{n}": words(n) for n in range(30)}
SPECS = {"one": ONE, "two": TWO}
COUNTED, FRAGILE = "tests.support.counting:embed", "tests.support.counting:fragile"
