"""How much an audit may spend, as people write it."""

from __future__ import annotations

import math

from vecrollback.errors import UsageError


def parse_budget(value: str, count: int) -> int:
    """`2%` of `count` rows, or `500` texts; at least 1. Raises UsageError."""
    number, percent = value.strip().removesuffix("%"), value.strip().endswith("%")
    try:
        wanted = float(number) if percent else int(number)
    except ValueError:
        wanted = math.nan
    if not wanted > 0 or not math.isfinite(wanted) or (percent and wanted > 100):
        raise UsageError(f"{value!r} is no budget", hint="write a number of texts, 500, or a share of the rows, 2%")
    return max(1, math.ceil(count * wanted / 100)) if percent else int(wanted)
