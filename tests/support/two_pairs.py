"""A store of thirty documents and two pairs: `two` served before `one`, which is live; nothing lags."""

from __future__ import annotations

from pathlib import Path

import vecrollback
from tests.support.operations import words
from tests.support.oracle import ONE, TWO
from vecrollback import Document

TEXTS = {f"d{n}": words(n) for n in range(30)}
SPECS = {"one": ONE, "two": TWO}


def build(root: Path) -> Path:
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name in ("two", "one"):
            store.reembed(SPECS[name], name=name, index="Flat").wait()
            store.promote(name)
    return root
