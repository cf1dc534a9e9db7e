"""Embedders whose calls are written down, and that break on demand; used by name: `tests.support.counting:embed`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.support.oracle import TWO, embedder

LOG, BROKEN = "COUNTING_LOG", "COUNTING_BROKEN"


def embed(texts: list[str]) -> Any:
    """Append the texts to the file that COUNTING_LOG names, in one write, then embed them."""
    with Path(os.environ[LOG]).open("ab", buffering=0) as log:
        log.write(json.dumps(texts).encode() + b"\n")
    return embedder(TWO).embed_documents(texts)


def fragile(texts: list[str]) -> Any:
    """Embed, as long as the file that COUNTING_BROKEN names is not there."""
    if Path(os.environ[BROKEN]).exists():
        raise RuntimeError("the weights are gone")
    return embedder(TWO).embed_documents(texts)


def embedded(log: Path) -> list[str]:
    """Every text of a document that was embedded, in order; probes and queries are not documents."""
    return [text for unit in units(log) for text in unit]


def units(log: Path) -> list[list[str]]:
    """The same, call by call."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    calls = ([text for text in json.loads(line) if text.startswith("note ")] for line in lines)
    return [call for call in calls if call]
