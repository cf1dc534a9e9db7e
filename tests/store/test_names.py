"""A name that cannot exist is refused as that, by every method and route: never by an error of a library below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from vecrollback import Document, Store
from vecrollback.errors import BadDocumentError, UnknownNameError, UsageError

HALF = "a\ud800"


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with vecrollback.connect(tmp_path / "store", create=True) as opened:
        opened.upsert([Document("d", "a text")])
        opened.promote(opened.reembed("hash:16?seed=1", name="one").wait())
        opened.promote(opened.reembed("hash:16?seed=2", name="two").wait())
        yield opened


CALLS: dict[str, Callable[[Store, str], Any]] = {
    "get": lambda store, name: store.get([name]),
    "delete": lambda store, name: store.delete([name]),
    "upsert": lambda store, name: store.upsert([Document(name, "text")]),
    "pair": lambda store, name: store.pair(name),
    "lag": lambda store, name: store.lag(name),
    "check": lambda store, name: store.check(name),
    "catch_up": lambda store, name: store.catch_up(name),
    "promote": lambda store, name: store.promote(name),
    "rollback": lambda store, name: store.rollback(name, reason="worse"),
    "rollback reason": lambda store, name: store.rollback(reason=name),
    "restore": lambda store, name: store.restore(name, reason="this one"),
    "manifest": lambda store, name: store.manifest(name),
    "tag": lambda store, name: store.tag(name, "one@1"),
    "job": lambda store, name: store.job(name),
    "history": lambda store, name: store.history(alias=name),
    "reembed": lambda store, name: store.reembed("hash:16", name=name),
}


@pytest.mark.parametrize("call", CALLS)
def test_half_a_surrogate_pair_is_no_name(store: Store, call: str) -> None:
    with pytest.raises((UsageError, UnknownNameError, BadDocumentError)):
        CALLS[call](store, HALF)
    assert store.live().name == "two"
    assert store.search("a text").hits[0].id == "d"
