"""People are told, sooner or later; and no rollback waits for it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.webhook_receivers import Webhook, mailbox, webhook
from vecrollback import Document, Store
from vecrollback.store.automation.worker import Worker


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True, actor="builder") as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(20)])
        store.promote(store.reembed("hash:64?seed=1", name="v1").wait(), reason="first")
        store.promote(store.reembed("hash:64?seed=2", name="v2").wait(), reason="said to be better")
    return root


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as running:
        yield running


def channels(root: Path, *written: str) -> None:
    (root / "vecrollback.toml").write_text("".join(f"[[policy.notify]]\n{one}\n" for one in written))


def sent(store: Store, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(store.notices.all(state="sent")) < count:
        assert time.monotonic() < deadline, store.notices.all()
        time.sleep(0.02)


def test_a_webhook_gets_what_slack_understands(root: Path, store: Store, hook: Webhook) -> None:
    channels(root, f"kind = 'webhook'\nurl = '{hook.url}'")
    store.rollback(reason="worse answers", actor="anna")
    sent(store, 1)
    [body] = hook.got
    assert body["text"] == "vecrollback rollback: v2@1 to v1@1, epoch 3, by anna: worse answers (incident 1)"
    assert (body["event"], body["facts"]["incident"]) == ("rollback", 1)


def test_a_secret_address_comes_from_the_environment(
    root: Path, store: Store, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels(root, "kind = 'webhook'\nurl_env = 'HOOK'")
    store.notices.tell("alert", "the first")
    assert store.notices.send_due() == 0
    [waiting] = store.notices.all()
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    assert "'HOOK' is not set" in waiting.error
    monkeypatch.setenv("HOOK", hook.url)
    store.notices.tell("alert", "the second")
    assert store.notices.send_due() == 1


def test_mail_and_commands_get_the_whole_message(root: Path, store: Store, tmp_path: Path) -> None:
    place = tmp_path / "said.json"
    code = f"import sys, pathlib; pathlib.Path({str(place)!r}).write_text(sys.stdin.read())"
    with mailbox() as box:
        mail = (
            f"kind = 'email'\nhost = '127.0.0.1'\nport = {box.port}\nto = ['a@example.org']\nsender = 'b@example.org'"
        )
        channels(root, mail, f"kind = 'command'\ncommand = {json.dumps([sys.executable, '-c', code])}")
        store.notices.tell("drill", "overdue", {"days": 31})
        assert store.notices.send_due() == 2
    assert "Subject: vecrollback drill: overdue" in box.got[0]
    assert json.loads(place.read_text())["facts"] == {"days": 31}


def test_what_fails_waits_longer_each_time_and_is_tried_again(root: Path, store: Store, hook: Webhook) -> None:
    channels(root, f"kind = 'webhook'\nurl = '{hook.url}'")
    hook.failing = 2
    store.notices.tell("alert", "something")
    waits = []
    for _ in range(2):
        assert store.notices.send_due() == 0
        [notice] = store.notices.all()
        waits.append(notice.due - time.time())
        assert store.notices.send_due() == 0  # not due yet
        store.resources.catalog.notices.tried(notice.number, "waiting", due=0.0)
    assert 3 < waits[0] < 6
    assert waits[1] > 3 * waits[0]
    assert store.notices.send_due() == 1
    assert len(hook.got) == 1
    assert store.notices.send_due() == 0


def test_after_a_day_of_failures_a_notice_is_given_up_and_kept(root: Path, store: Store) -> None:
    channels(root, "kind = 'command'\ncommand = ['false']")
    store.notices.tell("alert", "something")
    for _ in range(12):
        store.notices.send_due()
        [notice] = store.notices.all()
        if notice.state == "waiting":
            store.resources.catalog.notices.tried(notice.number, "waiting", due=0.0)
    assert notice.state == "failed"
    assert "ended with 1" in notice.error


def test_a_channel_gets_only_its_events(root: Path, store: Store, hook: Webhook) -> None:
    channels(root, f"kind = 'webhook'\nurl = '{hook.url}'\nevents = ['alert']")
    store.notices.tell("drill", "overdue")
    store.notices.tell("alert", "something")
    store.notices.send_due()
    assert [body["event"] for body in hook.got] == ["alert"]


def test_a_channel_that_fails_holds_up_no_other(root: Path, store: Store, hook: Webhook, tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    (root / "vecrollback.toml").write_text(
        f"[[policy.notify]]\nname = 'dead'\nkind = 'command'\nevents = ['alert']\n"
        f"command = ['sh', '-c', 'echo >> {tried}; exit 1']\n"
        f"[[policy.notify]]\nname = 'pager'\nkind = 'webhook'\nurl = '{hook.url}'\nevents = ['rollback']\n"
    )
    for number in range(60):
        store.notices.tell("alert", f"the disk is full, {number}")
    store.notices.tell("rollback", "we went back")
    assert store.notices.send_due() == 1
    assert [body["event"] for body in hook.got] == ["rollback"]
    assert len(tried.read_text()) == 1, "the others of that channel wait for the next time"
    assert len(store.notices.all(state="waiting")) == 60


def test_a_worker_delivers_what_others_left(root: Path, store: Store, hook: Webhook) -> None:
    channels(root, f"kind = 'webhook'\nurl = '{hook.url}'")
    store.notices.tell("rollback", "left behind")
    Worker(store).run_once()
    sent(store, 1)


def test_a_worker_completes_incidents_that_others_left_open(store: Store) -> None:
    store.rollback(reason="worse answers", catch_up=False)
    store.check("v1")
    Worker(store).run_once()
    [incident] = store.incidents.all()
    assert incident.verdict == "pass"
    assert incident.post_check is not None
