"""The console: every state of it at both widths and in both themes, and every action by keyboard alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="needs a browser driver: pip install 'vecrollback[dev]'")

from selenium.webdriver.common.keys import Keys

from tests.support import postgres
from tests.support.accessibility import CONTRAST, CONTROLS_WITHOUT_NAME, STRUCTURE
from tests.support.browser import Page, chromium
from tests.support.http_server import QUERIES, V1, V2, Server, build, fresh, make_token, serving
from tests.support.waiting import wait_for
from vecrollback import Document, Store, connect
from vecrollback.records import Progress

pytestmark = pytest.mark.browser

_V3 = "hash:64?seed=3"
_SETTINGS = """
[canary]
shadow = 50
steps = [5, 40, 100]
bake_seconds = 3600

[gates]
promote = ["lag = 0"]
"""
_POLICY = """
[policy]
interval = '1s'
[[policy.metric]]
source = 'error_rate'
[[policy.metric]]
source = 'standout'
"""
_PRESSABLE = """
return [...document.querySelectorAll("main button[data-key]:not(:disabled)")].map((one) => one.dataset.key);
"""
_SCREENS = [(1280, 900), (390, 844)]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def operated(own_store: Path) -> Path:
    (own_store / "vecrollback.toml").write_text(_SETTINGS)
    return own_store


def _begin(page: Page, server: Server) -> None:
    page.open(server.url)
    page.await_text("#live-title", "live")


# -- every action by keyboard alone -----------------------------------------------------------------------------------


def _automation(page: Page, store: Store) -> None:
    assert "moves nothing" in page.by_keyboard("freeze", "release day")
    frozen = store.freezes.current()
    assert frozen is not None
    assert (frozen.reason, frozen.actor) == ("release day", "keeper")
    page.await_text("#freeze-body", "held back")
    assert "may act again" in page.by_keyboard("unfreeze")
    assert store.freezes.current() is None
    page.by_keyboard("drill")
    wait_for("the drill", lambda: [one.verdict for one in store.drills()] == ["pass"], 120)
    page.await_text("#drills-body", "passed")


def _approvals(page: Page, store: Store) -> None:
    store.approvals.ask("restore", "v1@1", reason="numbers fell", actor="policy")
    page.await_text("#approvals-body", "Request 1")
    assert "nothing moved" in page.by_keyboard("reject-1", "they did not")
    assert [one.state for one in store.approvals.all()] == ["rejected"]
    store.approvals.ask("rollback", "v1", reason="numbers fell again", actor="policy")
    page.await_text("#approvals-body", "Request 2")
    assert "v1@1 is live" in page.by_keyboard("approve-2", "they did")
    assert (store.live().name, store.approvals.all()[0].state) == ("v1", "done")
    page.await_text("#live-title", "v1@1 is live")


def _incidents(page: Page, store: Store) -> None:
    store.rollback(reason="worse answers")
    page.await_text("#incidents-body", "Incident 1")
    page.by_keyboard("golden-1", "apples of crate 0", "d0=2, d5")
    assert [(one.tags, dict(one.expected)) for one in store.golden.list()] == [(("incident-1",), {"d0": 2, "d5": 1})]
    assert "is closed" in page.by_keyboard("close-1", "a prompt was missing")
    closed = store.incidents.get(1)
    assert (closed.state, closed.notes["cause"], closed.notes["closed_by"]) == (
        "closed",
        "a prompt was missing",
        "keeper",
    )


def _golden(page: Page, store: Store) -> None:
    page.by_keyboard("golden-add", "pears of crate 1", "d1", "fruit, pears")
    [kept] = store.golden.list()
    assert (kept.text, dict(kept.expected), kept.tags) == ("pears of crate 1", {"d1": 1}, ("fruit", "pears"))
    page.await_text("#golden-body", "pears of crate 1")
    page.by_keyboard(f"golden-remove-{kept.id}")
    assert store.golden.list() == ()


def _snapshots(page: Page, store: Store) -> None:
    page.by_keyboard("tag-v1@1", "monday")
    assert store.tags()["monday"] == "v1@1"
    page.await_text("#snapshots-body", "monday")
    page.by_keyboard("untag-monday")
    assert "monday" not in store.tags()
    store.upsert([Document("d1", "medlars")])
    store.catch_up("v2", advance=False)
    page.by_keyboard("snapshot-take")
    assert [one.ref for one in store.snapshots("v2")] == ["v2@1", "v2@2"]
    page.await_text("#snapshots-body", "v2@2")
    page.tab_to_key("restore-v1@1")
    page.press(Keys.ENTER)
    page.await_open("action")
    assert "1 change behind" in page.text("#action-plan")
    page.press(Keys.ESCAPE)
    assert store.live().name == "v2"
    assert "v1@1 is live" in page.by_keyboard("restore-v1@1", "as on Monday")
    assert store.live().name == "v1"
    [newest] = store.history(alias="live", limit=1)
    assert (newest.kind, newest.reason, newest.actor) == ("restore", "as on Monday", "keeper")


def _trials(page: Page, store: Store) -> None:
    page.tab_to_key("gates-v1")
    page.press(Keys.ENTER)
    assert "lag = 0" in page.await_text("#gates-outcome", "passes every gate")
    page.by_keyboard("canary-start", "", "once more")
    assert (store.canaries.status().canary.pair, store.canaries.status().canary.step) == ("v1", 0)
    page.await_text("#canary-body", "undecided")
    page.by_keyboard("canary-advance", "a quiet night", Keys.SPACE)
    assert (store.canaries.status().canary.step, store.canaries.status().canary.share) == (1, 5)
    page.await_text("#canary-body", "Advance to 40")
    page.by_keyboard("canary-stop", "answers are off")
    assert [one.end_reason for one in store.canaries.history()] == ["answers are off"]
    page.await_text("#canary-body", "No pair is tried")
    page.by_keyboard("promote-v1", "better after all")
    wait_for("the promote", lambda: store.live().name == "v1", 60)
    page.await_text("#live-title", "v1@1 is live")


def _upkeep(page: Page, store: Store) -> None:
    store.upsert([Document("d1", "medlars")])
    page.await_text("#pairs", "Catch up")
    page.tab_to_key("catch-up-v2")
    page.press(Keys.ENTER)
    wait_for("the catch-up", lambda: store.lag("v2") == 0)
    reports = len(store.inspection.reports("v1", limit=50))
    page.tab_to_key("check-v1")
    page.press(Keys.ENTER)
    wait_for("the check", lambda: len(store.inspection.reports("v1", limit=50)) == reports + 1)


def _jobs(page: Page, store: Store) -> None:
    go_on = threading.Event()

    def work(report: Any) -> None:
        count = 0
        while not go_on.wait(0.05):
            count += 1
            report(Progress("", "embedding", min(30, count), 40, count, 0, count, 3.0))

    job = store.start_job("re-embed", "v1", work)
    page.await_text("#jobs", "changes/s")
    assert "left" in page.text("#jobs")
    page.tab_to_key(f"pause-{job.id}")
    page.press(Keys.ENTER)
    wait_for("the pause", lambda: store.job(job.id).paused)
    page.await_text("#jobs", "paused")
    page.tab_to_key(f"resume-{job.id}")
    page.press(Keys.ENTER)
    wait_for("the job to go on", lambda: not store.job(job.id).paused)
    page.tab_to_key(job.id)
    page.press(Keys.ENTER)
    wait_for("the stop", lambda: store.job(job.id).state == "cancelled")
    go_on.set()


_ACTIONS: dict[str, Callable[[Page, Store], None]] = {
    "automation": _automation,
    "approvals": _approvals,
    "incidents": _incidents,
    "golden": _golden,
    "snapshots": _snapshots,
    "trials": _trials,
    "upkeep": _upkeep,
    "jobs": _jobs,
}
_SAMPLE = ("trials",)


@pytest.mark.parametrize(
    "panel", [pytest.param(name, marks=[] if name in _SAMPLE else pytest.mark.slow) for name in _ACTIONS]
)
def test_every_action_is_done_by_keyboard_alone_and_the_store_shows_it(operated: Path, page: Page, panel: str) -> None:
    with serving(operated) as server, connect(operated, actor="tester") as store:
        _begin(page, server)
        page.await_text("#snapshots-body", "v1@1")
        _ACTIONS[panel](page, store)
        assert page.complaints() == []


def test_an_action_without_its_reason_is_not_sent_and_escape_changes_nothing(operated: Path, page: Page) -> None:
    with serving(operated) as server, connect(operated) as store:
        _begin(page, server)
        page.await_text("#freeze-body", "may act")
        page.tab_to_key("freeze")
        page.press(Keys.ENTER)
        page.await_open("action")
        page.tab_to("action-confirm", limit=14)  # a date is many stops
        page.press(Keys.ENTER)
        page.await_text("#action-problem", "Reason")
        page.press(Keys.ESCAPE)
        wait_for("the focus", lambda: page.run("return document.activeElement.dataset.key") == "freeze")
        assert store.freezes.current() is None


# -- every state ------------------------------------------------------------------------------------------------------


def _well(root: Path) -> None:
    with connect(root, actor="anna") as store:
        assert store.drill().verdict == "pass"


def _busy(root: Path) -> None:
    (root / "vecrollback.toml").write_text(_SETTINGS + _POLICY)
    with connect(root, actor="anna") as store:
        store.promote(store.reembed(_V3, name="v3").wait(), reason="said to be better")
        store.rollback(reason="worse answers than before")
        store.canaries.start("v1", reason="again", override=True)
        store.golden.add("apples of crate 0", ["d0"], tags=["incident-1"])
        store.tag("monday", "v1@1")
        store.upsert([Document("x", "<b>sloes</b>")])
        store.approvals.ask("rollback", None, reason="overlap fell under 0.3", actor="policy")
        store.freezes.freeze("release day", actor="anna")
        store.drill("files-gone")


def _nowhere(root: Path) -> None:
    with connect(root, actor="anna") as store:
        store.rollback(reason="worse answers")


_STATES: dict[str, tuple[Callable[[Path], None], str]] = {
    "well": (_well, "Well"),
    "busy": (_busy, "Not well"),
    "nowhere to go": (_nowhere, "Not well"),
}
_LOOKS = [(state, screen, theme) for state in _STATES for screen in _SCREENS for theme in ("light", "dark")]
_SAMPLED = {("busy", _SCREENS[0], "light"), ("busy", _SCREENS[1], "dark")}


@pytest.fixture(scope="module")
def stands(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """A server for each state that is asked for; it goes on until the module ends."""
    with contextlib.ExitStack() as stack:
        running: dict[str, Server] = {}

        def stand(state: str) -> Server:
            if state not in running:
                root = Path(shutil.copytree(template, tmp_path_factory.mktemp("state") / "store"))
                _STATES[state][0](root)
                running[state] = stack.enter_context(serving(root))
                for query in QUERIES:
                    fresh(running[state].url, "POST", "/v1/search", json={"query": query})
            return running[state]

        yield stand


def _look_is_good(page: Page) -> None:
    """Nothing scrolls sideways, everything has a name, axe finds nothing serious."""
    assert page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert page.run(CONTROLS_WITHOUT_NAME) == []
    assert page.run(STRUCTURE) == []
    assert page.run(CONTRAST) == []
    assert page.serious_findings() == []
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("state", "screen", "theme"),
    [pytest.param(*one, marks=[] if one in _SAMPLED else pytest.mark.slow) for one in _LOOKS],
)
def test_every_state_looks_right_at_both_widths_and_themes(
    stands: Callable[[str], Server], page: Page, state: str, screen: tuple[int, int], theme: str
) -> None:
    server = stands(state)
    with page.width(*screen):
        page.prefer(theme)
        _begin(page, server)
        page.await_text("#snapshots-body", "v1@1")
        page.await_text("#verdict", _STATES[state][1])
        page.await_text("#chart-lag", "Numbers")
        _look_is_good(page)
        bottom = page.run("return document.getElementById('rollback').getBoundingClientRect().bottom")
        assert bottom <= screen[1], "what to press is on the first screen"
        if state == "busy":
            page.run("document.querySelector('[data-key=canary-stop]').click()")
            page.await_open("action")
            assert page.serious_findings() == []
            page.press(Keys.ESCAPE)
    page.prefer("light")


@pytest.mark.slow
@pytest.mark.parametrize("screen", _SCREENS)
def test_before_anything_is_live_the_page_says_what_to_do(tmp_path: Path, page: Page, screen: tuple[int, int]) -> None:
    root = build(tmp_path / "store")
    with serving(root) as server, page.width(*screen):
        page.open(server.url)
        page.await_text("#live-title", "Nothing is live")
        page.await_text("#attention", "vecrollback reembed MODEL --name v1 --promote")
        _look_is_good(page)
        with connect(root) as store:
            store.reembed(V1, name="v1").wait()
        page.await_text("#attention", "Promote v1")
        page.by_keyboard("next-live", "the first")
        page.await_text("#live-title", "v1@1 is live")


@pytest.mark.parametrize("screen", [_SCREENS[0], pytest.param(_SCREENS[1], marks=pytest.mark.slow)])
def test_a_reader_sees_everything_and_no_button_works(operated: Path, page: Page, screen: tuple[int, int]) -> None:
    token = make_token(operated, "reader", "rita")
    with serving(operated, token=token) as server, page.width(*screen):
        page.open(server.url)
        page.await_text("#signin", "Sign in")
        page.press(token, Keys.ENTER)
        page.await_text("#snapshots-body", "v1@1")
        assert page.run(_PRESSABLE) == []
        assert page.serious_findings() == []


@pytest.mark.postgres
@pytest.mark.parametrize("screen", [_SCREENS[0], pytest.param(_SCREENS[1], marks=pytest.mark.slow)])
def test_while_the_catalog_is_lost_the_page_says_so_and_nothing_can_be_pressed(
    tmp_path: Path, page: Page, screen: tuple[int, int]
) -> None:
    if not postgres.available():
        pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
    with postgres.running() as database:
        url = database.url()
        store = build(tmp_path / "store", V1, V2, catalog=url)
        with serving(store, "--catalog", url) as server, page.width(*screen):
            _begin(page, server)
            page.await_text("#snapshots-body", "v1@1")
            assert page.at("#rollback").is_enabled()
            database.kill()
            page.await_text("#verdict", "The catalog is lost", 60)
            assert "Nothing can be moved" in page.text("#lost")
            assert "last known" in page.text("#said")
            assert page.run(_PRESSABLE) == []
            assert page.at("#rollback").is_enabled() is False
            assert page.serious_findings() == []
            numbers = server.get("/metrics")
            assert numbers.status_code == 200
            assert 'vecrollback_situation{line="live",state="unknown"} 1.0' in numbers.text
            page.open(server.url)  # by somebody who comes only now
            page.await_text("#verdict", "The catalog is lost", 60)
            assert page.at("#rollback").is_enabled() is False
            database.start()
            page.await_text("#back-facts", "Standby", 60)
            wait_for("the button", lambda: page.at("#rollback").is_enabled())


# -- as a new operator ------------------------------------------------------------------------------------------------


_INCIDENTS_COME_LATE = """
const real = window.fetch;
let unproved = null;
window.fetch = async (path, options) => {
  const answer = await real(path, options);
  if (!String(path).startsWith("/v1/incidents?")) return answer;
  const text = await answer.text();
  if (!JSON.parse(text).incidents.some((one) => one.verdict)) unproved = text;
  const shown = document.getElementById("attention").textContent.includes("proved and not closed");
  return new Response(shown ? text : unproved ?? text, { status: answer.status, headers: answer.headers });
};
"""
"""The page learns from the situation that an incident is proved, and from the incident itself one reading later."""


def test_from_the_alert_to_well_again_in_six_steps_that_the_page_shows(operated: Path, page: Page) -> None:
    """Each step is a control that stands on the page at that moment; the keys are Tab, Enter and the words."""
    disk = shutil.disk_usage(operated)
    if disk.free < 0.12 * disk.total:
        pytest.skip("the disk is nearly full here, and a page says Well only when it is not")
    with connect(operated, actor="policy") as store:
        store.promote(store.reembed(_V3, name="v3").wait(), reason="said to be better")
        assert store.drill().verdict == "pass"
        request = store.approvals.ask("rollback", None, reason="overlap 0.1 fails < 0.3", actor="policy")
        with serving(operated) as server:
            page.open(server.url)  # 1: what the alert links to
            page.run(_INCIDENTS_COME_LATE)
            page.await_text("#verdict", "Not well")
            assert "overlap 0.1 fails" in page.await_text("#attention", f"Decide request {request.number}")
            page.tab_to_key("next-approvals")  # 2: what stands beside it
            page.press(Keys.ENTER)
            page.await_open("action")
            assert "the last fit pair" in page.text("#action-plan")
            page.press("it is right", Keys.TAB)
            page.tab_to("action-confirm", limit=3)
            page.press(Keys.ENTER)  # 3: the yes
            page.await_text("#live-title", "v2@1 is live")
            page.await_text("#attention", "Close incident 1", 60)
            page.tab_to_key("next-incidents")  # 4: what stands there now
            page.press(Keys.ENTER)
            page.await_open("action")
            page.press("the fine-tune was for other texts", Keys.TAB)
            page.tab_to("action-confirm", limit=4)
            page.press(Keys.ENTER)  # 5: what it was
            verdict = page.await_text("#verdict", "Well", 60)  # 6: it is well again
            assert "Not well" not in verdict
            assert page.run("return document.querySelectorAll('#attention li').length") == 0
        assert store.live().name == "v2"
        [incident] = store.incidents.all()
        assert (incident.state, incident.verdict, incident.notes["cause"]) == (
            "closed",
            "pass",
            "the fine-tune was for other texts",
        )


@pytest.mark.slow
def test_the_pictures_of_the_pages_are_taken_here(stands: Callable[[str], Server], page: Page, tmp_path: Path) -> None:
    """With VECROLLBACK_SCREENSHOTS set they go into docs/images; else it is shown that they can be taken."""
    docs = Path(__file__).parents[2] / "docs" / "images"
    target = docs if os.environ.get("VECROLLBACK_SCREENSHOTS") else tmp_path
    shots = {"dashboard": (_SCREENS[0], "light", ""), "dashboard-phone": (_SCREENS[1], "dark", "")}
    shots["dashboard-panels"] = ((1280, 1000), "light", "incidents")
    server = stands("busy")
    for name, (screen, theme, place) in shots.items():
        with page.width(*screen):
            page.prefer(theme)
            _begin(page, server)
            page.await_text("#snapshots-body", "monday")
            page.await_text("#policy-body", "sampled")
            page.run("document.getElementById(arguments[0])?.scrollIntoView()", place)
            page.run("document.getElementById('where').style.visibility = 'hidden'")  # a folder of this test
            assert page.driver.save_screenshot(str(target / f"{name}.png"))
            header = (docs / f"{name}.png").read_bytes()[16:24]
            assert header == (target / f"{name}.png").read_bytes()[16:24], (
                "a picture of the same size is in docs/images"
            )
    page.prefer("light")
