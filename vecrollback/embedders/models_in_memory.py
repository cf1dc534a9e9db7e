"""Models that are loaded in this process: one copy of the same weights, whichever store or pair uses them.

A store and its standby, ten stores of a service, two pairs that differ in their prompts: they all need the same
hundreds of megabytes. A model stays as long as anybody uses it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from typing import Any

from vecrollback.storage.forks import FollowsForks, follow_forks, inherit


class SharedModel:
    """A model that several embedders use, each in its turn: who uses it holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._model: weakref.ref[Any] | None = None

    @property
    def model(self) -> Any:
        """What was loaded, None when nobody holds it any more."""
        return self._model() if self._model is not None else None

    def keep(self, model: Any) -> None:
        """Let others use it for as long as somebody holds it."""
        self._model = weakref.ref(model)


class _Models(FollowsForks):
    def __init__(self) -> None:
        self._begin()
        follow_forks(self)

    def forked(self) -> None:
        """The locks and the threads of the parent's models are not here: each is loaded again."""
        inherit(self._by_key)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._by_key: weakref.WeakValueDictionary[Hashable, SharedModel] = weakref.WeakValueDictionary()

    def of(self, key: Hashable) -> SharedModel:
        with self._lock:
            shared = self._by_key.get(key)
            if shared is None:
                shared = self._by_key[key] = SharedModel()
            return shared


_models = _Models()


def shared_model(key: Hashable) -> SharedModel:
    """The place in memory of a model. `key`: everything that is decided when it is loaded.

    Example:
        >>> one, other = shared_model(("digest", "float32")), shared_model(("digest", "float32"))
        >>> one is other
        True
    """
    return _models.of(key)
