"""Makes changing the embedding model of a vector system safe to undo.

`connect` opens a store; everything else is a method of what it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vecrollback.errors import VecrollbackError
from vecrollback.records import (
    CatchUp,
    Certificate,
    Document,
    Finding,
    Hit,
    Ingested,
    Pair,
    Progress,
    Report,
    Result,
    Snapshot,
    Switched,
)

if TYPE_CHECKING:
    from vecrollback.client import AsyncClient, Client
    from vecrollback.serving.searcher import Searcher
    from vecrollback.store.store import Store, connect

__all__ = [
    "AsyncClient",
    "CatchUp",
    "Certificate",
    "Client",
    "Document",
    "Finding",
    "Hit",
    "Ingested",
    "Pair",
    "Progress",
    "Report",
    "Result",
    "Searcher",
    "Snapshot",
    "Store",
    "Switched",
    "VecrollbackError",
    "connect",
]

_LAZY = {
    "AsyncClient": "vecrollback.client",
    "Client": "vecrollback.client",
    "Searcher": "vecrollback.serving.searcher",
    "Store": "vecrollback.store.store",
    "connect": "vecrollback.store.store",
}


def __getattr__(name: str) -> Any:
    # `vecrollback --help` must not pay for NumPy and Arrow.
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
