"""Pairs held open for somebody who looks, apart from what serves, and let go of soon after."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from vecrollback.catalog import Catalog
from vecrollback.errors import PairStateError
from vecrollback.serving.open_pairs import Held, Holder, Position

_IDLE_SECONDS = 300.0


class Aside:
    """Opens pairs for one caller at a time: two models and two indexes beside those that serve are enough."""

    def __init__(self, catalog: Catalog, holder: Callable[[], Holder]) -> None:
        self._catalog, self._make_holder = catalog, holder
        self._holder: Holder | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @contextlib.contextmanager
    def pairs(self, *names: str) -> Iterator[list[Held]]:
        """These pairs, each at the head of the log, whether they serve or not.

        Raises UnknownNameError, and PairStateError for one that is not built yet.
        """
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._holder is None:
                self._holder = self._make_holder()
            try:
                held = [self._held(self._holder, name) for name in names]
                self._holder.keep_only({one.view.snapshot.ref for one in held})
                yield held
            finally:
                self._timer = threading.Timer(_IDLE_SECONDS, self.close)
                self._timer.daemon = True
                self._timer.start()

    def _held(self, holder: Holder, name: str) -> Held:
        pair = self._catalog.pairs.get(name)
        if not pair.snapshot:
            raise PairStateError(f"pair {name!r} is {pair.state} and cannot answer", hint="wait until it is built")
        return holder.at(Position(pair.ref, pair.vectors_version, pair.watermark))

    def close(self) -> None:
        """Let go of what is held open. Idempotent; the next caller opens it again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._holder is not None:
                self._holder.keep_only(())
            self._holder = self._timer = None
