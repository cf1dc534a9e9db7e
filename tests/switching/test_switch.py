"""The switch by itself: what it asks of the present, what it refuses, whom it waits for, what it leaves behind."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.two_pairs import build
from vecrollback import Document, Store
from vecrollback.catalog.aliases import SCRATCH
from vecrollback.errors import (
    AliasMovedError,
    CorruptArtifactError,
    HeadMovedError,
    NoRollbackTargetError,
    PairStateError,
    QuarantinedError,
    UnknownNameError,
    UsageError,
)
from vecrollback.pairs.manifest import load_manifest
from vecrollback.pairs.snapshots import SnapshotWriter
from vecrollback.records import CANDIDATE, LIFTED, LIVE, MoveRequest, SearcherRecord
from vecrollback.switching.switch import Switch

BACK = MoveRequest("a test", "tester", wait_seconds=0.2, warm_seconds=0.2)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store")


@pytest.fixture
def switch(store: Store) -> Switch:
    return Switch(store.resources.catalog, store.resources.artifacts)


@pytest.fixture
def stuck(store: Store) -> Iterator[SearcherRecord]:
    """A searcher of this process that is alive, holds `one` open, and applies no move."""
    searchers = store.resources.catalog.searchers
    row = SearcherRecord("stuck", LIVE, socket.gethostname(), os.getpid(), 2, ("one@1",), time.time())
    searchers.announce(row)
    yield row
    searchers.leave("stuck")


def states(store: Store) -> dict[str, str]:
    return {pair.name: pair.state for pair in store.pairs()}


def aliases(store: Store) -> dict[str, str]:
    return {name: f"{at['pair']}@{at['snapshot']}" for name, at in store.status()["alias"].items()}


def test_a_rollback_moves_the_pointer_quarantines_what_it_leaves_and_is_in_the_history(
    store: Store, switch: Switch
) -> None:
    done = switch.rollback(None, BACK)
    assert (done.source, done.target, done.epoch, done.lag) == ("one@1", "two@1", 3, 0)
    assert states(store) == {"one": "quarantined", "two": "live"}
    assert store.pair("one").state_reason == "a test"
    move = store.history(alias=LIVE, limit=1)[0]
    assert (move.kind, move.source, move.target, move.reason, move.actor) == (
        "rollback",
        "one@1",
        "two@1",
        "a test",
        "tester",
    )


def test_looking_for_the_target_changes_nothing(store: Store, switch: Switch) -> None:
    before = (store.status(), store.history())
    assert switch.target().ref == switch.target("two").ref == "two@1"
    assert switch.unfit("two") == ""
    assert "was pruned" in switch.unfit("nobody")
    assert (store.status(), store.history()) == before


@pytest.mark.parametrize("move", ["rollback", "restore"])
def test_a_move_back_needs_a_reason(store: Store, switch: Switch, move: str) -> None:
    silent = MoveRequest("", "tester")
    with pytest.raises(UsageError, match="needs a reason"):
        switch.rollback(None, silent) if move == "rollback" else switch.restore("two@1", silent)
    assert aliases(store)[LIVE] == "one@1"
    assert states(store) == {"one": "live", "two": "standby"}


@pytest.mark.parametrize("move", ["rollback", "restore"])
def test_what_was_decided_on_another_epoch_is_refused_with_both(store: Store, switch: Switch, move: str) -> None:
    late = MoveRequest("a test", "tester", expected_epoch=1)
    with pytest.raises(AliasMovedError, match=r"expected epoch 1, found 2"):
        switch.rollback(None, late) if move == "rollback" else switch.restore("two@1", late)
    assert aliases(store)[LIVE] == "one@1"
    in_time = MoveRequest("a test", "tester", expected_epoch=2)
    assert switch.rollback(None, in_time).epoch == 3


@pytest.mark.parametrize("move", ["rollback", "restore", "promote"])
def test_a_new_snapshot_of_the_live_pair_overtakes_no_decision(
    store: Store, switch: Switch, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    """A worker makes one at any moment, also in between the read that a move decides on and the move itself."""
    decided = MoveRequest("a test", "tester", expected_epoch=2, wait_seconds=0.2, warm_seconds=0.2)
    report = store.check("two")
    assert store.snapshot("one", rebuild=True).ref == "one@2"
    make = switch._make

    def interrupted(*arguments: object) -> object:
        monkeypatch.undo()
        assert store.snapshot("one", rebuild=True).ref == "one@3"
        return make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(switch, "_make", interrupted)
    if move == "rollback":
        done = switch.rollback(None, decided)
    elif move == "restore":
        done = switch.restore("two@1", decided)
    else:
        done = switch.promote(store.pair("two"), report, decided)
    assert (done.source, done.target, done.epoch) == ("one@3", "two@1", 5)


def test_a_pair_that_is_rolled_back_from_while_its_gates_look_needs_an_override(store: Store, switch: Switch) -> None:
    checked, report = store.pair("two"), store.check("two")
    switch.promote(checked, report, BACK)
    switch.rollback(None, BACK)
    with pytest.raises(QuarantinedError, match="was rolled back from: a test"):
        switch.promote(checked, report, BACK)
    assert aliases(store)[LIVE] == "one@1"


def test_a_pair_that_is_rolled_back_from_while_searchers_load_it_does_not_serve(
    store: Store, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = switch._warm

    def interrupted(*arguments: object) -> object:
        monkeypatch.undo()
        store.resources.catalog.pairs.set_state("two", "quarantined", "it answers nonsense")
        return warm(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(switch, "_warm", interrupted)
    with pytest.raises(QuarantinedError, match="rolled back from meanwhile: it answers nonsense"):
        switch.promote(store.pair("two"), store.check("two"), BACK)
    assert aliases(store)[LIVE] == "one@1"
    assert states(store) == {"one": "live", "two": "quarantined"}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, AliasMovedError("live", expected=1, found=2)])
def test_a_promote_out_of_quarantine_that_fails_leaves_the_pair_there(
    store: Store, switch: Switch, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException] | Exception
) -> None:
    switch.rollback(None, BACK)
    forced = MoveRequest("try again", "tester", override=True, wait_seconds=0.2, warm_seconds=0.2)

    def fail(*_: object) -> None:
        assert store.pair("one").state == "ready", "or no searcher would load it"
        raise failure

    with monkeypatch.context() as patched, pytest.raises(type(failure) if isinstance(failure, Exception) else failure):
        patched.setattr(switch, "_warm", fail)
        switch.promote(store.pair("one"), store.check("one"), forced)
    assert (store.pair("one").state, store.pair("one").state_reason) == ("quarantined", "a test")
    assert switch.promote(store.pair("one"), store.check("one"), forced).target == "one@1"
    assert states(store) == {"one": "live", "two": "standby"}


def test_a_pair_whose_way_out_of_quarantine_was_cut_off_counts_as_quarantined(store: Store, switch: Switch) -> None:
    """What a killed process leaves: searchers may load it, nobody goes back to it."""
    switch.rollback(None, BACK)
    store.resources.catalog.pairs.set_state("one", "ready", f"{LIFTED}try again")
    with pytest.raises(NoRollbackTargetError, match=r"one: it is quarantined \(out of quarantine: try again\)"):
        switch.target()
    with pytest.raises(QuarantinedError):
        switch.promote(store.pair("one"), store.check("one"), BACK)


def test_a_restore_is_not_undone_by_an_index_that_was_being_built(
    store: Store, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.upsert([Document("bad", "what the restore is to hide")])
    store.catch_up("one")
    write = SnapshotWriter.write

    def interrupted(*arguments: Any, **named: Any) -> Any:
        monkeypatch.undo()
        built = write(*arguments, **named)
        switch.restore("one@1", BACK)
        return built

    monkeypatch.setattr(SnapshotWriter, "write", interrupted)
    with pytest.raises(HeadMovedError):
        store.snapshot("one", rebuild=True)
    assert aliases(store)[LIVE] == "one@1"
    assert store.search("what the restore is to hide", k=1).hits[0].id != "bad"
    assert store.check("one").fitness == "pass"
    store.catch_up("one")
    assert store.check("one").verdict == "pass"


def test_a_pair_that_never_served_is_no_target_unless_it_is_forced(store: Store, switch: Switch) -> None:
    store.check(store.reembed("hash:32?seed=3", name="three", index="Flat").wait())
    with pytest.raises(NoRollbackTargetError, match="never served"):
        switch.rollback("three", BACK)
    with pytest.raises(UnknownNameError):
        switch.rollback("nobody", BACK)
    for request in (BACK, replace(BACK, override=True)):
        with pytest.raises(NoRollbackTargetError, match="'one' is live already"):
            switch.rollback("one", request)
    assert switch.target("three", override=True).ref == "three@1"
    assert aliases(store)[LIVE] == "one@1"


def test_a_pair_whose_file_is_gone_is_passed_over_for_the_one_before_it(
    root: Path, store: Store, switch: Switch
) -> None:
    store.promote(store.reembed("hash:32?seed=3", name="three", index="Flat").wait())
    manifest = load_manifest(store.resources.artifacts, store.resources.catalog.pairs.find_snapshot("one@1").manifest)
    (root / "artifacts" / manifest.index.artifact).unlink()
    assert switch.target().ref == "two@1"
    assert switch.unfit("one")
    with pytest.raises(NoRollbackTargetError, match="one"):
        switch.rollback("one", BACK)
    assert switch.rollback(None, BACK).target == "two@1"


def test_no_fit_pair_is_told_with_the_reason_of_each(store: Store, switch: Switch) -> None:
    switch.rollback(None, BACK)
    with pytest.raises(NoRollbackTargetError, match=r"one: it is quarantined \(a test\)"):
        switch.rollback(None, BACK)
    assert aliases(store)[LIVE] == "two@1"


def test_a_restore_keeps_the_other_pair_as_a_standby_and_takes_a_tag(store: Store, switch: Switch) -> None:
    store.tag("known-good", "two@1")
    done = switch.restore("known-good", BACK)
    assert (done.source, done.target) == ("one@1", "two@1")
    assert states(store) == {"one": "standby", "two": "live"}
    with pytest.raises(UnknownNameError):
        switch.restore("two@9", BACK)


def test_a_restore_of_a_damaged_snapshot_is_refused(root: Path, store: Store, switch: Switch) -> None:
    name = store.resources.catalog.pairs.find_snapshot("two@1").manifest
    path = root / "artifacts" / name
    body = json.loads(path.read_bytes())
    path.write_text(json.dumps(body | {"watermark": 1}))
    with pytest.raises(CorruptArtifactError):
        switch.restore("two@1", BACK)
    assert aliases(store)[LIVE] == "one@1"


def test_one_that_does_not_follow_is_named_and_holds_the_move_up_no_longer_than_asked(
    store: Store, switch: Switch, stuck: SearcherRecord
) -> None:
    done = switch.rollback(None, BACK)
    who = f"{stuck.host}:{stuck.pid}"
    assert (done.searchers.expected, done.searchers.acknowledged, done.searchers.missing) == (1, 0, (who,))
    assert aliases(store)[LIVE] == "two@1", "the switch stands"


def test_a_promote_waits_until_every_searcher_has_loaded_the_pair(
    store: Store, switch: Switch, stuck: SearcherRecord
) -> None:
    report = store.check("two")
    with pytest.raises(PairStateError, match=rf"1 searcher\(s\) did not load two@1.*{stuck.pid}"):
        switch.promote(store.pair("two"), report, BACK)
    assert aliases(store) == {LIVE: "one@1", CANDIDATE: "two@1"}, "it was asked to load it"
    forced = MoveRequest("urgent", "tester", override=True, wait_seconds=0.1, warm_seconds=0.1)
    assert switch.promote(store.pair("two"), report, forced).target == "two@1"
    assert states(store) == {"one": "standby", "two": "live"}


def test_what_is_live_is_not_promoted_again(store: Store, switch: Switch) -> None:
    with pytest.raises(PairStateError, match="live already"):
        switch.promote(store.pair("one"), store.check("one"), BACK)
    assert len(store.history(alias=LIVE)) == 2


def test_only_one_pair_is_a_standby(store: Store, switch: Switch) -> None:
    store.reembed("hash:32?seed=3", name="three", index="Flat").wait()
    switch.promote(store.pair("three"), store.check("three"), BACK)
    assert states(store) == {"one": "standby", "two": "ready", "three": "live"}


def test_a_rehearsal_moves_a_scratch_alias_as_a_rollback_would_and_no_state(store: Store, switch: Switch) -> None:
    scratch = f"{SCRATCH}test"
    request = MoveRequest("a drill", "tester", alias=scratch, wait_seconds=0.2)
    assert switch.stage(scratch, request).ref == "one@1"
    done = switch.rehearse(scratch, switch.target(), request)
    assert (done.source, done.target, done.searchers.expected) == ("one@1", "two@1", 0)
    assert states(store) == {"one": "live", "two": "standby"}
    assert aliases(store)[LIVE] == "one@1"


def test_where_nothing_is_live_there_is_no_way_back(tmp_path: Path) -> None:
    import vecrollback

    with vecrollback.connect(tmp_path / "empty", create=True) as empty:
        switch = Switch(empty.resources.catalog, empty.resources.artifacts)
        for look in (lambda: switch.rollback(None, BACK), switch.target, lambda: switch.stage(f"{SCRATCH}x", BACK)):
            with pytest.raises(NoRollbackTargetError, match="points nowhere"):
                look()
