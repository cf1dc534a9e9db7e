"""A closed store does nothing any more, and says so."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from vecrollback import Document, Store
from vecrollback.errors import StoreClosedError, UsageError

_STILL_TRUE = {"close", "actor", "uri", "root"}
_NAMES = [name for name in vars(Store) if not name.startswith("_") and name not in _STILL_TRUE]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = vecrollback.connect(tmp_path_factory.mktemp("store"), create=True)
    store.upsert([Document("d1", "tea")])
    store.close()
    return store


def _use(store: Store, name: str) -> None:
    """Read a property, or call a method with something for each argument that it must have."""
    part: Any = getattr(store, name)
    needed = [p for p in inspect.signature(part).parameters.values() if p.default is p.empty]
    positional = [["d1"] if p.name == "ids" else "v1@1" for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD]
    part(*positional, **{p.name: "hash:8" for p in needed if p.kind is p.KEYWORD_ONLY})


@pytest.mark.parametrize("name", _NAMES)
def test_a_closed_store_refuses(closed: Store, name: str) -> None:
    with pytest.raises(StoreClosedError, match="is closed") as caught:
        _use(closed, name)
    assert "connect(" in caught.value.hint


def test_a_closed_store_is_not_entered_and_closes_again(closed: Store) -> None:
    with pytest.raises(StoreClosedError), closed:
        pass
    closed.close()


def test_a_closed_store_wrote_nothing(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path, create=True) as store:
        store.upsert([Document("d1", "tea")])
    with pytest.raises(StoreClosedError):
        store.upsert([Document("d2", "coffee")])
    with pytest.raises(StoreClosedError):
        store.delete(["d1"])
    with vecrollback.connect(tmp_path) as again:
        assert set(again.get(["d1", "d2"])) == {"d1"}


def test_get_refuses_one_string(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path, create=True) as store:
        store.upsert([Document("1", "tea"), Document("2", "coffee")])
        with pytest.raises(UsageError, match="get takes a list of ids") as caught:
            store.get("12")
    assert caught.value.hint == "store.get(['12'])"
