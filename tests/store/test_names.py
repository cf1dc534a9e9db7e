"""A name that cannot exist is refused as that, by every method and route: never by an error of a library below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from vecrollback import Document, Store
from vecrollback.errors import BadDocumentError, PairStateError, UnknownNameError, UsageError

HALF = "a\ud800"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as opened:
        opened.upsert([Document("d", "a text")])
        opened.promote(opened.reembed("hash:16?seed=1", name="one").wait())
        opened.promote(opened.reembed("hash:16?seed=2", name="two").wait())
    return root


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


def test_names_that_differ_in_case_alone_never_share_a_folder(store: Store, tmp_path: Path) -> None:
    tables = sorted(path.name for path in (store.root / "tables").iterdir())
    with pytest.raises(PairStateError, match="there is a pair 'one'"):
        store.reembed("hash:16?seed=3", name="ONE").wait()
    store.export_snapshot("one@1", tmp_path / "one.bundle")
    with pytest.raises(PairStateError, match="there is a pair 'two'"):
        store.import_snapshot(tmp_path / "one.bundle", name="Two")
    assert sorted(path.name for path in (store.root / "tables").iterdir()) == tables
    assert store.check("one").verdict == "pass"
    for name in ("ｏne", "o\u0308ne", "one/../two", "one ", ".one"):  # the rule has no letter with two forms
        with pytest.raises(UsageError, match="not a valid name"):
            store.reembed("hash:16?seed=3", name=name)


def test_a_tag_stands_before_no_pair(store: Store) -> None:
    for name in ("two", "TWO"):
        with pytest.raises(PairStateError, match="a pair is called 'two'"):
            store.tag(name, "one@1")
    for name in ("two@1", "a/b", "", "INC 1"):
        with pytest.raises(UsageError, match="not a valid name"):
            store.tag(name, "one@1")
    store.tag("three", "one@1")
    with pytest.raises(PairStateError, match="there is a tag 'three'"):
        store.reembed("hash:16?seed=3", name="three").wait()
    # as an earlier version could have written it
    with store.resources.catalog._database.write() as connection:
        connection.exec_driver_sql("UPDATE tag SET name = 'two'")
    assert store.restore("two", reason="the pair", catch_up=False).target == "two@1"


MISTAKES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "level": (lambda store: store.check("two", level="deep"), "level is 'deep'"),
    "if_absent": (lambda store: store.upsert([Document("d", "text")], if_absent="ignore"), "if_absent is 'ignore'"),
    "catch_up by": (lambda store: store.catch_up("two", by="magic"), "by is 'magic'"),
    "promote by": (lambda store: store.promote("one", by="magic", override=True, reason="x"), "by is 'magic'"),
    "mode": (lambda store: store.search("text", mode="fuzzy"), "mode is 'fuzzy'"),
    "nature": (
        lambda store: store.incidents.close(1, cause="x", actor="me", nature="bad luck"),
        "nature is 'bad luck'",
    ),
    "texts": (lambda store: store.upsert(["a text"]), "a document is a str, not a Document"),
    "dicts": (lambda store: store.upsert([{"id": "d", "text": "t"}]), "a document is a dict, not a Document"),
    "one": (lambda store: store.upsert(Document("e", "text")), "documents are given as a Document"),
    "no query": (lambda store: store.search(None), "a query is blank or not a string"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_argument_that_means_nothing_is_refused_and_changes_nothing(store: Any, mistake: str) -> None:
    call, message = MISTAKES[mistake]
    before = (store.live(), store.get(["d"]), store.count(), store.history())
    with pytest.raises(UsageError, match=message) as caught:
        call(store)
    assert caught.value.hint
    assert (store.live(), store.get(["d"]), store.count(), store.history()) == before
