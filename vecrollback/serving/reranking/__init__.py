"""Rerankers, found by a string: `cross-encoder:TARGET?key=value`, or a kind that another package registers.

Third parties register theirs as entry points of the group `vecrollback.rerankers`, see `base.py`.
"""

from __future__ import annotations

import importlib
from typing import cast

from vecrollback.embedders.spec import arguments_of
from vecrollback.errors import RerankerSpecError
from vecrollback.serving.reranking.base import OpenReranker, Reranker
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit
from vecrollback.storage.installed import entry_points_of

__all__ = ["Reranker", "open_reranker"]

_GROUP = "vecrollback.rerankers"
_BUILT_IN = {"cross-encoder": "cross_encoder:open_cross_encoder"}
_KEPT = 4
"""Rerankers that stay in memory, those that were opened last."""


def open_reranker(spec: str) -> Reranker:
    """Open a reranker. A process opens each once, and keeps the last four.

    Args:
        spec: `KIND:TARGET?key=value&...`.

    Raises:
        RerankerSpecError: The string names nothing, or an argument is not valid.
        MissingDependencyError: The package of its kind is not installed.
        RerankerError: The model cannot be loaded.

    Example:
        >>> open_reranker("psychic:small")
        Traceback (most recent call last):
        ...
        vecrollback.errors.RerankerSpecError: 'psychic:small' is not a valid reranker
    """
    return _opened.of(spec)


class _Opened(FollowsForks):
    """Rerankers in use. Two threads that open the same one at a moment share the weights all the same."""

    def __init__(self) -> None:
        self._rerankers: dict[str, Reranker] = {}
        follow_forks(self)

    def forked(self) -> None:
        """The threads of the parent's models are not here: each is loaded again."""
        inherit(self._rerankers)
        self._rerankers = {}

    def of(self, spec: str) -> Reranker:
        reranker = self._rerankers.get(spec)
        if reranker is None:
            reranker = self._rerankers.setdefault(spec, _open(spec))
            for oldest in list(self._rerankers)[:-_KEPT]:
                self._rerankers.pop(oldest, None)
        return reranker


_opened = _Opened()


def _open(spec: str) -> Reranker:
    kind, colon, _ = spec.partition("?")[0].partition(":")
    if kind in _BUILT_IN:  # by name, so that a source tree that was never installed works too
        module, _, function = _BUILT_IN[kind].partition(":")
        opener = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    else:
        points = entry_points_of(_GROUP)
        if not colon or kind not in points:
            kinds = ", ".join(sorted({*_BUILT_IN, *points}))
            raise RerankerSpecError(
                f"{spec!r} is not a valid reranker", hint=f"KIND:TARGET; kinds installed here: {kinds}"
            )
        try:
            opener = points[kind].load()
        except (ImportError, AttributeError) as error:
            raise RerankerSpecError(
                f"the reranker kind {kind!r} ({points[kind].value}) cannot be loaded: {error}",
                hint="repair or uninstall the package that provides it",
            ) from error
    return cast(OpenReranker, opener)(*arguments_of(spec))
