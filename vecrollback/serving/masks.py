"""Masks: which vectors may answer. Deletes win here, over every snapshot; filters of a query are masks too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.text_cache import TextCache
from vecrollback.records.arrays import Mask, Numbers

KEPT_FILTERS = 16


@dataclass(frozen=True, slots=True)
class Filter:
    """What a query is restricted to: a namespace, "" for documents without one, and a `where` as text.

    `matching`: asks the corpus for the keys of the documents that the `where` matches, as they are in these texts: what
    is shown of a document is what was judged. A view asks once.
    """

    namespace: str = ""
    where: str | None = None
    matching: Callable[[TextCache], pa.Array] | None = None


def mask_deleted(ids: pa.Array, seq: Numbers, alive: Mask, tombstones: Mapping[str, int]) -> Mask:
    """Hide, in `alive` itself, the rows of documents that were deleted after they were embedded.

    `ids`, `seq`, `alive`: of the rows, shape (n,). `tombstones`: id -> seq of the delete; a row with a higher seq was
    written after it and stays.
    """
    if tombstones and len(alive):
        index = pc.index_in(ids, value_set=pa.array(list(tombstones), pa.string()))
        code = np.asarray(pc.fill_null(index, -1))
        delete_seq = np.fromiter(tombstones.values(), np.int64, len(tombstones))
        alive &= (code < 0) | (seq > delete_seq[code])
    return alive


def is_in(ids: pa.Array, wanted: pa.Array) -> Mask:
    """Which of `ids` are among `wanted`."""
    return np.asarray(pc.is_in(ids, value_set=wanted), dtype=bool)


def frozen(mask: Mask) -> Mask:
    """The mask itself, from now on read-only."""
    mask.flags.writeable = False  # an index may keep what it prepared for this very mask
    return mask
