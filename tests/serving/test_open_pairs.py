"""Pairs held open: each is opened once, brought to the head, and let go of; what cannot be opened is told once.

Covers pairs.resources.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

import vecrollback
from tests.laws.support import FRAGILE
from tests.support import counting
from tests.support.operations import words
from vecrollback import Document, Store
from vecrollback.errors import PairStateError, UnknownNameError
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPairs, Position


def position(store: Store, name: str) -> Position:
    pair = store.pair(name)
    return Position(pair.ref, pair.vectors_version, pair.watermark)


def test_each_is_opened_once_and_all_share_the_texts(store: Store) -> None:
    opened = OpenPairs(store.resources)
    assert (opened.refs, opened.find("one@1")) == ((), None)
    two, one = (opened.at(position(store, name)) for name in ("two", "one"))
    assert opened.refs == ("one@1", "two@1")
    assert opened.find("one@1") is opened.at(position(store, "one")) is one
    assert one.view.texts is two.view.texts
    assert one.current and two.current


def test_what_was_written_since_is_there_when_it_is_asked_for_again(store: Store) -> None:
    opened = OpenPairs(store.resources)
    before = opened.at(position(store, "one"))
    store.upsert([Document("new", words(80))])
    store.catch_up("one")
    after = opened.at(position(store, "one"))
    assert (before.view.watermark, after.view.watermark) == (30, 31)
    assert after.view.snapshot is before.view.snapshot
    assert "new" in after.view.delta.ids


def test_it_lets_go_of_all_but_what_it_is_told_to_keep(store: Store) -> None:
    opened = OpenPairs(store.resources)
    for name in ("one", "two"):
        opened.at(position(store, name))
    opened.keep_only(["two@1", "never@1"])
    assert opened.refs == ("two@1",)
    opened.keep_only(())
    assert opened.refs == ()


def test_what_cannot_be_held_warm_is_told_once_and_keeps_nobody_else_back(
    root: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flag = tmp_path / "broken"
    monkeypatch.setenv(counting.BROKEN, str(flag))
    store.reembed(FRAGILE, name="dark", index="Flat").wait()
    flag.touch()
    with vecrollback.connect(root) as later, caplog.at_level(logging.WARNING):
        opened = OpenPairs(later.resources)
        for _ in range(3):
            opened.warm([position(later, "dark"), position(later, "one")])
        assert opened.refs == ("one@1",)
        told = [record.getMessage() for record in caplog.records if "cannot be held warm" in record.getMessage()]
        assert len(told) == 1
        assert "dark@1" in told[0] and "weights are gone" in told[0]
        flag.unlink()
        opened.warm([position(later, "dark")])
        assert opened.refs == ("dark@1", "one@1")


def test_a_borrower_has_each_pair_at_the_head_whether_it_serves_or_not(store: Store) -> None:
    store.upsert([Document("d1", words(80))])
    store.delete(["d2"])
    borrowed = BorrowedPairs(store.resources)
    with borrowed.pairs("two", "one") as held:
        assert [one.pair.name for one in held] == ["two", "one"]
        assert {one.view.texts.head for one in held} == {32}
    with borrowed.pairs("one") as [again]:
        assert again.view.snapshot is held[1].view.snapshot, "it stays open for the next one"
    borrowed.close()
    borrowed.close()
    with borrowed.pairs("one") as [fresh]:
        assert fresh.view.snapshot is not again.view.snapshot
    borrowed.close()


def test_a_borrower_is_refused_what_cannot_answer(store: Store) -> None:
    borrowed = BorrowedPairs(store.resources)
    with pytest.raises(UnknownNameError), borrowed.pairs("nobody"):
        pass
    looked = threading.Event()
    job = store.reembed("hash:16", name="begun", index="Flat", progress=lambda _: bool(looked.wait(30)))
    with pytest.raises(PairStateError, match="cannot answer"), borrowed.pairs("begun"):
        pass
    looked.set()
    job.wait()
    with borrowed.pairs("begun") as [held]:
        assert held.pair.name == "begun"
    borrowed.close()
