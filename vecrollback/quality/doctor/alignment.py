"""Whether vectors that look foreign are the model's own, beside the texts of other rows.

Who deletes a row from the vectors and not from the texts moves every vector after it by one. Each is then compared with
its neighbour's text and looks like another model's; embedding everything again would be the wrong cure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.quality.purity import AuditResult

_TRIED, _LEAST = 64, 8
_MOST = 0.9
"""Share of the rows tried that must lie the same number of rows away."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Vectors lie `rows` behind their texts, before them where it is negative; from row `first` on. `tried`: texts."""

    rows: int
    first: int
    tried: int


def shift_of(source: ForeignIndex, embedder: Embedder, audit: AuditResult) -> Shift | None:
    """The shift that explains the foreign vectors; None when none does. Embeds up to 64 texts and reads all vectors."""
    if len(audit.rows) < _LEAST:
        return None
    foreign = np.array(audit.rows, np.int64)
    rows = foreign[np.unique(np.linspace(0, len(foreign) - 1, min(len(foreign), _TRIED)).astype(int))]
    texts = source.texts(rows)
    rows = rows[[text is not None for text in texts]]
    own = embedder.embed_documents([text for text in texts if text is not None])
    keep = source.keep()
    queries = own if keep is None else keep(own)
    with np.errstate(all="ignore"):
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        best, place = np.full(len(rows), -1.0), np.full(len(rows), -1, np.int64)
        for first, block in source.blocks():
            near = np.nan_to_num(queries @ (block / np.linalg.norm(block, axis=1, keepdims=True)).T, nan=-1.0)
            top = near.argmax(axis=1)
            better = near[np.arange(len(rows)), top] > best
            best[better], place[better] = near[np.arange(len(rows)), top][better], first + top[better]
    matches = best >= audit.floor - 1e-6
    shifts, counts = np.unique((place - rows)[matches], return_counts=True)
    if not len(counts) or counts.max() < _MOST * len(rows):
        return None
    return Shift(int(shifts[counts.argmax()]), int(foreign.min()), len(rows))
