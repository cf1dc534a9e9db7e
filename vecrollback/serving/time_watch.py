"""Whether the catalog that a searcher follows has gone back in time, and what must not be shown then.

Two witnesses: what the searcher itself has answered from, and the marks beside the tables (`catalog.witness`). A
searcher that has seen more than the catalog says stays with what it has seen. One that began afterwards answers from
what the catalog says, without the documents that the log itself knows to be deleted. Both say that they are not
current.
"""

from __future__ import annotations

import time
from dataclasses import replace

from vecrollback.corpus.readopt import deleted_after
from vecrollback.pairs.resources import Resources
from vecrollback.records import Pointer, Setback
from vecrollback.serving.open_pairs import OpenPair
from vecrollback.serving.view import without

_EVERY_SECONDS = 1.0


class TimeWatch:
    """The witness as one searcher asks it: at most once a second, because queries wait for it."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus = resources.catalog, resources.corpus
        self._setback: Setback | None = None
        self._due = 0.0

    def setback(self, *, look: bool = False) -> Setback | None:
        """What the catalog lacks of what was seen; `look` as in `Catalog.setback`. Raises CatalogUnavailableError."""
        if time.monotonic() >= self._due:
            self._setback = self._catalog.setback(look=look)
            self._due = time.monotonic() + _EVERY_SECONDS
        return self._setback

    def step_back(self, seen: Pointer, pointer: Pointer) -> str:
        """Why a pointer that was just read is older than the one seen before, as a sentence; "" when it is not."""
        here, then = (f"{one.pair}@{one.snapshot} in epoch {one.epoch}" for one in (pointer, seen))
        if here != then and pointer.epoch <= seen.epoch:
            return f"the catalog went back in time: {seen.alias!r} was at {then}, and is said to be at {here}"
        if pointer.head < seen.head:
            return f"the catalog went back in time: change {seen.head} was seen, and its log ends with {pointer.head}"
        return ""

    def without_deleted(self, open_pair: OpenPair, head: int) -> OpenPair:
        """The pair without documents that were deleted after `head`, as the log's newest version has them."""
        return replace(open_pair, view=without(open_pair.view, deleted_after(self._corpus, head)), current=False)
