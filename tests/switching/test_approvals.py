"""Who may move what: automation is held by a freeze, some moves wait for people, and all of it is on record.

Covers switching.freezes.
"""

from __future__ import annotations

import datetime as dt
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import start, words
from vecrollback import Document, Store
from vecrollback.catalog import now
from vecrollback.errors import AliasMovedError, ApprovalNeededError, PairStateError, UnknownNameError, UsageError
from vecrollback.records import Approval, ModelAnswer

V1, V2 = "hash:64?seed=1", "hash:64?seed=2"
TWO_PEOPLE = "[policy.authority]\nrestore_approvals = 2\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True, actor="builder") as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(20)])
        store.promote(store.reembed(V1, name="v1").wait(), reason="first")
        store.promote(store.reembed(V2, name="v2").wait(), reason="said to be better")
    return root


def asked(store: Store) -> int:
    with pytest.raises(ApprovalNeededError, match=r"serving v1@1 waits for 2 different people: request (\d+)"):
        store.restore("v1@1", reason="bad data", actor="anna")
    return store.approvals.all()[0].number


def recorded(store: Store) -> list[str]:
    return [f"{one.actor} {one.action} {one.subject}" for one in reversed(store.access.audit())]


def test_serving_older_data_needs_two_different_people_when_the_policy_says_so(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(TWO_PEOPLE)
    number = asked(store)
    assert asked(store) == number  # the same request, not another one
    assert store.approve(number, actor="anna").switched is None
    with pytest.raises(UsageError, match="anna has approved request 1 already"):
        store.approve(number, actor="anna")
    assert store.live().name == "v2"
    decided = store.approve(number, actor="ben")
    assert decided.switched is not None
    assert decided.switched.target == "v1@1"
    assert decided.approval.state == "done"
    move = store.history(limit=1)[0]
    assert (move.kind, move.actor) == ("restore", "ben")
    assert move.reason == "bad data (request 1, approved by anna, ben)"
    assert recorded(store)[-3:] == ["anna approval.approve 1", "anna approval.approve 1", "ben approval.approve 1"]


def test_without_a_policy_one_operator_restores(store: Store) -> None:
    assert store.restore("v1@1", reason="bad data").target == "v1@1"


def test_any_operator_rolls_back_to_the_standby_whatever_waits(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(TWO_PEOPLE)
    number = asked(store)
    store.rollback(reason="worse answers")
    assert [one.state for one in store.approvals.all()] == ["expired"]
    with pytest.raises(UsageError, match="request 1 is expired"):
        store.approve(number, actor="anna")


def test_a_request_expires_when_live_moves_before_the_last_approval(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(TWO_PEOPLE)
    number = asked(store)
    store.approve(number, actor="anna")
    store.rollback(reason="worse answers")
    with pytest.raises(AliasMovedError):
        store.approve(number, actor="ben")
    assert store.approvals.all()[0].state == "expired"
    assert len(store.history(alias="live")) == 3


def test_a_request_waits_on_when_the_live_pair_gets_a_new_snapshot(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(TWO_PEOPLE)
    number = asked(store)
    store.approve(number, actor="anna")
    assert store.snapshot("v2", rebuild=True).ref == "v2@2"
    assert [one.state for one in store.approvals.all()] == ["waiting"]
    decided = store.approve(number, actor="ben")
    assert decided.switched is not None
    assert (decided.switched.source, decided.switched.target) == ("v2@2", "v1@1")


def test_people_agree_to_how_a_restore_is_made(root: Path, store: Store) -> None:
    """A model that does not answer is passed over by what they agreed to, which no option of `approve` could say."""
    (root / "vecrollback.toml").write_text("[policy.authority]\nrestore_approvals = 1\n")
    store.resources.catalog.models.note(ModelAnswer("v1", "fail", "it is gone", now(), 0.1, "host"))
    plain = ask_for(store)
    with pytest.raises(PairStateError, match="could answer no query"):
        store.approve(plain, actor="ben")
    forced = ask_for(store, override=True, planned=True)
    assert forced != plain
    assert ask_for(store, override=True, planned=True) == forced
    with pytest.raises(ApprovalNeededError):
        store.restore("v1@1", reason="bad data", approval=plain, override=True)
    switched = store.approve(forced, actor="ben", catch_up=False).switched
    assert switched is not None and switched.target == "v1@1"
    assert store.incidents.all()[0].nature == "planned"


def ask_for(store: Store, **how: bool) -> int:
    with pytest.raises(ApprovalNeededError):
        store.restore("v1@1", reason="bad data", actor="anna", **how)
    return store.approvals.all(state="waiting")[0].number


def test_one_approval_serves_one_snapshot_only(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(TWO_PEOPLE)
    number = asked(store)
    store.resources.catalog.approvals.change(number, _agreed)
    store.snapshot("v1", rebuild=True)
    with pytest.raises(ApprovalNeededError, match="serving v1@2"):
        store.restore("v1@2", reason="bad data", approval=number)
    with pytest.raises(UnknownNameError):
        store.restore("v1@1", reason="bad data", approval=99)
    assert store.live().name == "v2"


def test_a_refused_move_is_not_made_and_stays_on_record(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(TWO_PEOPLE)
    number = asked(store)
    refused = store.reject(number, reason="the data is right", actor="ben")
    assert (refused.state, refused.decisions[-1]["reason"]) == ("rejected", "the data is right")
    with pytest.raises(UsageError, match="is rejected"):
        store.approve(number, actor="anna")
    assert recorded(store)[-2:] == ["ben approval.reject 1", "anna approval.approve 1"]


def test_a_freeze_holds_until_its_time_or_until_it_is_lifted(store: Store) -> None:
    assert store.freezes.current() is None
    with pytest.raises(UsageError):
        store.freezes.freeze(" ", actor="anna")
    with pytest.raises(UsageError, match="over already"):
        store.freezes.freeze("release day", actor="anna", until=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.2)
    store.freezes.freeze("release day", actor="anna", until=soon)
    held = store.freezes.current()
    assert held is None or held.actor == "anna"
    while dt.datetime.now(dt.UTC) < soon:
        pass
    assert store.freezes.current() is None
    store.freezes.freeze("release day", actor="anna")
    assert store.freezes.unfreeze(actor="ben")
    assert not store.freezes.unfreeze(actor="ben")
    assert store.freezes.current() is None
    assert "anna freeze live (release day)" in recorded(store)


def test_a_person_moves_a_frozen_store_and_is_warned(store: Store) -> None:
    store.freezes.freeze("release day", actor="anna")
    done = store.rollback(reason="worse answers")
    assert (done.target, done.trouble) == ("v1@1", "")
    assert done.warning == "'live' is frozen by anna: release day"


def _agreed(one: Approval) -> Approval:
    said = [{"actor": name, "decision": "approve", "reason": "", "at": ""} for name in ("anna", "ben")]
    return replace(one, decisions=tuple(said))


@pytest.mark.parametrize("point", ["switch.before_commit", "switch.after_commit"])
@pytest.mark.parametrize("kind", ["restore", "rollback"])
def test_the_move_and_the_end_of_its_request_are_one(root: Path, kind: str, point: str) -> None:
    """A process that dies around the move leaves both done, or neither; the same person may then try again."""
    (root / "vecrollback.toml").write_text(TWO_PEOPLE if kind == "restore" else "")
    with vecrollback.connect(root) as store:
        if kind == "restore":
            number = asked(store)
            store.approve(number, actor="anna")
        else:
            number = store.approvals.ask("rollback", None, reason="worse", actor="policy").number
        before = store.live().ref
    code = f"import sys, vecrollback; vecrollback.connect(sys.argv[1]).approve({number}, actor='ben', catch_up=False)"
    process = start(str(root), code=code, VECROLLBACK_FAULT=point)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    with vecrollback.connect(root) as store:
        moved = store.live().ref != before
        assert moved == (point == "switch.after_commit")
        [request] = store.approvals.all()
        assert request.state == ("done" if moved else "waiting")
        if not moved:
            assert store.approve(number, actor="ben").approval.state == "done"
            assert store.live().ref != before


def test_nothing_moves_on_a_request_that_was_rejected_meanwhile(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text(TWO_PEOPLE)
    number = asked(store)
    store.approve(number, actor="anna")
    store.reject(number, reason="the numbers were wrong", actor="carl")
    before = store.live().ref
    with pytest.raises(UsageError, match="request 1 does not wait any more"):
        store.rollback(reason="a test", approval=number)
    assert store.live().ref == before
    assert store.approvals.all()[0].state == "rejected"
