"""The operator's page in a real browser."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("selenium", reason="needs a browser driver: pip install 'vecrollback[dev]'")

from selenium.webdriver.common.keys import Keys

from tests.support.accessibility import CONTRAST, CONTROLS_WITHOUT_NAME, HEADINGS, STRUCTURE
from tests.support.browser import Page, chromium
from tests.support.http_server import QUERIES, V2, Server, fresh, make_token, serving
from tests.support.waiting import wait_for
from vecrollback import Document, connect
from vecrollback.embedders import open_embedder
from vecrollback.records import Progress

pytestmark = pytest.mark.browser

_EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def shown(store: Path, page: Page) -> Iterator[Server]:
    """A server with two workers, some queries answered, a second document log entry not yet taken in."""
    with connect(store, actor="writer") as opened:
        opened.upsert([Document("evil", f"{_EVIL} of crate 1", {})])
    with serving(store, "--workers", "2") as server:
        for query in QUERIES:
            fresh(server.url, "POST", "/v1/search", json={"query": query})
        page.open(server.url)
        page.await_text("#live-title", "v2@1 is live")
        yield server


def live(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = fresh(server.url, "GET", "/v1/status").json()["alias"]["live"]
    return found


def test_the_page_loads_without_a_complaint_and_asks_nobody_else(shown: Server, page: Page) -> None:
    page.open(shown.url)
    page.await_text("#chart-latency", "median")
    assert page.complaints() == []
    asked = page.requests()
    assert f"{shown.url}/assets/app.js" in asked
    assert {url for url in asked if not url.startswith(shown.url)} == set()


def test_what_is_live_and_where_a_rollback_would_go_stand_on_top(shown: Server, page: Page) -> None:
    hero = page.await_text("#live", "Last check")
    for words in ("v2@1 is live", "promote by builder", "1 change behind", "passed", "Roll back to v1@1", "Standby"):
        assert words in hero
    assert "2 of" not in page.text("#searchers")
    assert page.text("#searchers").count("yes") == 2
    timeline = page.text("#timeline")
    assert "v1@1 → v2@1" in timeline
    assert "built" in timeline
    assert page.run("return document.title").startswith("v2 is live")
    first = page.run("return document.querySelector('main').firstElementChild.id")
    assert first == "live"


def test_numbers_of_all_workers_are_added_up(shown: Server, page: Page) -> None:
    spans = fresh(shown.url, "GET", "/v1/series").json()["spans"]
    assert sum(span["answers"] for span in spans) >= len(QUERIES)
    assert {span["epoch"] for span in spans if span["answers"]} == {live(shown)["epoch"]}
    assert {span["lag"] for span in spans} <= {1, None}
    assert "queries answered, no errors" in page.await_text("#chart-queries", "answered")
    assert "median about" in page.text("#chart-scores")
    assert "Now 1 change behind" in page.text("#chart-lag")


def test_every_chart_has_words_and_a_table(shown: Server, page: Page) -> None:
    for chart in ("latency", "queries", "scores", "lag"):
        page.await_text(f"#chart-{chart}", "Numbers")
        said = page.run(f"return document.querySelector('#chart-{chart} svg[role=img]').getAttribute('aria-label')")
        assert len(said) > 20
        page.run(f"document.querySelector('#chart-{chart} summary').click()")
        wait_for("the table", lambda chart=chart: page.run(f"return !!document.querySelector('#chart-{chart} td')"))
        page.run(f"document.querySelector('#chart-{chart} summary').click()")


def test_two_pairs_are_compared_on_one_query(shown: Server, page: Page) -> None:
    page.at("[name=query]").send_keys("img of crate 1", Keys.ENTER)
    found = page.await_text("#compared", "of the results are in both")
    assert "A: v2@1" in found
    assert "B: v1@1" in found
    assert page.run("return document.querySelectorAll('#compared .hits li').length") == 20
    expected = fresh(
        shown.url, "POST", "/v1/compare", json={"query": "img of crate 1", "a": "v2", "b": "v1", "k": 10}
    ).json()
    assert expected["a"]["hits"][0]["id"] in found
    assert page.run("return document.querySelectorAll('#compared img').length") == 0
    ranks = {hit["id"]: rank for rank, hit in enumerate(expected["b"]["hits"], 1)}
    assert {place["id"]: place["b"] for place in expected["places"] if place["b"]} == ranks


def test_a_running_job_shows_its_progress_until_it_ends(shown: Server, store: Path, page: Page) -> None:
    seen, ended = threading.Event(), threading.Event()

    def work(report: Any) -> None:
        report(Progress("", "embedding", 12, 40, 12, 0, 12, 1.0))
        seen.wait(30)
        report(Progress("", "embedding", 33, 40, 33, 0, 33, 2.0))
        ended.wait(30)

    with connect(store) as opened:
        job = opened.start_job("re-embed", "v1", work)
        page.await_text("#jobs", "12 of 40 changes · embedding")
        seen.set()
        page.await_text("#jobs", "33 of 40 changes")
        ended.set()
        job.wait(30)
    page.await_text("#jobs", "Nothing is unfinished")
    assert any(url.endswith("/events") for url in page.requests())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable_in_light_and_dark(shown: Server, page: Page, scheme: str) -> None:
    page.prefer(scheme)
    ground = page.run("return getComputedStyle(document.documentElement).backgroundColor")
    light = sum(int(part) for part in ground.removeprefix("rgb(").rstrip(")").split(",")) > 380
    assert light is (scheme == "light")
    assert page.run(CONTRAST) == []
    page.at("#rollback").click()
    assert page.run(CONTRAST) == []
    assert page.run(CONTROLS_WITHOUT_NAME) == []
    page.press(Keys.ESCAPE)
    page.prefer("light")


def test_the_theme_can_be_chosen_and_stays(shown: Server, page: Page) -> None:
    button = page.at("#theme")
    for theme in ("light", "dark"):
        button.click()
        page.await_text("#theme", f"Theme: {theme}")
        assert page.run("return getComputedStyle(document.documentElement).colorScheme") == theme
    page.driver.refresh()
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    page.await_text("#live-title", "is live")
    page.at("#theme").click()
    page.await_text("#theme", "Theme: automatic")


def test_everything_has_a_name_and_its_place(shown: Server, page: Page) -> None:
    page.await_text("#chart-lag", "Numbers")
    assert page.run(CONTROLS_WITHOUT_NAME) == []
    levels = page.run(HEADINGS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    assert page.run(STRUCTURE) == []


def test_nothing_jumps_while_numbers_change(shown: Server, page: Page) -> None:
    page.await_text("#chart-lag", "Numbers")
    script = "return [...document.querySelectorAll('main > *')].map((one) => one.getBoundingClientRect().top)"
    before = page.run(script)
    epoch = live(shown)["epoch"]
    for query in QUERIES * 2:
        fresh(shown.url, "POST", "/v1/search", json={"query": query})
    page.run("window.was = document.querySelector('#chart-queries .said').textContent")
    wait_for(
        "new numbers", lambda: page.run("return document.querySelector('#chart-queries .said').textContent != was")
    )
    assert live(shown)["epoch"] == epoch
    assert page.run(script) == before


@pytest.mark.parametrize("pixels", [340, 700])
def test_a_narrow_window_needs_no_sideways_scrolling(shown: Server, page: Page, pixels: int) -> None:
    with page.width(pixels):
        wide = page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
        button = page.run("return document.getElementById('rollback').getBoundingClientRect().toJSON()")
        assert 0 <= button["left"] < button["right"] <= pixels


def test_cancelling_changes_nothing(shown: Server, page: Page) -> None:
    before = live(shown)
    for leave in (lambda: page.press(Keys.ESCAPE), lambda: page.at("#rollback-cancel").click()):
        page.at("#rollback").click()
        page.await_text("#rollback-plan", "v2 is quarantined")
        page.press("not after all")
        leave()
        assert page.run("return document.getElementById('rollback-dialog').open") is False
        assert page.run("return document.activeElement.id") == "rollback"
    assert live(shown) == before


def test_no_reason_no_rollback(shown: Server, page: Page) -> None:
    before = live(shown)
    page.at("#rollback").click()
    page.at("#rollback-reason").send_keys("  ")
    page.at("#rollback-confirm").click()
    page.await_text("#rollback-problem", "Say why")
    page.press(Keys.ESCAPE)
    assert live(shown) == before


def test_a_rollback_by_keyboard_alone(own_store: Path, page: Page) -> None:
    with connect(own_store, actor="writer") as opened:
        opened.upsert([Document("d1", "medlars"), Document("d2", "sloes")])
    with serving(own_store, "--workers", "2") as server:
        wait_for("both workers", lambda: len(server.searchers()) == 2)
        page.open(server.url)
        page.await_text("#rollback", "Roll back to v1@1")
        page.tab_to("rollback", limit=8)  # skip link, theme, what is live, then this: few keys at 3 a.m.
        page.press(Keys.ENTER)
        plan = page.await_text("#rollback-plan", "What will happen")
        for words in ("from v2@1 to v1@1", "2 searchers follow", "v2 is quarantined", "2 changes behind", "passed"):
            assert words in plan
        assert page.run("return document.activeElement.id") == "rollback-reason"
        page.press(f"answers got worse {_EVIL}")
        page.tab_to("rollback-confirm", limit=3)
        for _ in range(4):  # the focus stays in the dialog
            page.press(Keys.TAB)
            inside = "return !document.hasFocus() || document.activeElement === document.body || "
            assert page.run(inside + "document.getElementById('rollback-dialog').contains(document.activeElement)")
        page.tab_to("rollback-confirm", limit=6)
        page.press(Keys.ENTER)
        told = page.await_text("#outcome", "acknowledged")
        assert "Rolled back: v1@1 is live" in told
        assert "2 of 2 acknowledged" in told
        assert "v2@1, quarantined" in told
        assert "v1@1 is live after" in page.run("return document.getElementById('announce').textContent")
        assert page.run("return document.activeElement.id") == "outcome"
        assert live(server) == {"pair": "v1", "snapshot": 1, "epoch": 3}
        [move] = fresh(server.url, "GET", "/v1/history", params={"limit": 1}).json()["moves"]
        assert (move["kind"], move["actor"]) == ("rollback", "keeper")
        assert move["reason"] == f"answers got worse {_EVIL}"
        assert _EVIL in page.await_text("#timeline", "Rollback")
        page.await_text("#outcome", "✓ passed")
        assert "Catch-up\ndone" in page.text("#outcome")
        page.await_text("#live-facts", "up to date")
        assert page.at("#rollback").is_enabled() is False
        assert "it is quarantined" in page.text("#back-facts")
        assert page.complaints() == []


def test_a_switch_by_somebody_else_meanwhile_stops_the_rollback(own_store: Path, page: Page) -> None:
    with serving(own_store) as server:
        server.post("/v1/promote", {"pair": "v1", "reason": "one"})
        page.open(server.url)
        page.await_text("#rollback", "Roll back to v2@1")
        page.at("#rollback").click()
        page.at("#rollback-reason").send_keys("worse")
        with connect(own_store, actor="else") as opened:
            opened.restore("v1@1", reason="same pair, new epoch", catch_up=False)
        page.at("#rollback-confirm").click()
        assert "Nothing was moved" in page.await_text("#rollback-problem", "somebody else switched")
        assert live(server) == {"pair": "v1", "snapshot": 1, "epoch": 4}


def test_only_a_known_token_opens_the_page_and_a_searcher_only_looks(own_store: Path, page: Page) -> None:
    reader, operator = make_token(own_store, "reader", "rita"), make_token(own_store, "operator", "olaf")
    with serving(own_store) as server:
        page.open(server.url)
        page.await_text("#signin", "Sign in")
        page.press("vr_wrong", Keys.ENTER)
        page.await_text("#signin-problem", "unknown or was revoked")
        assert "v2" not in page.text("main")
        page.press(reader, Keys.ENTER)
        page.await_text("#who", "rita · reader")
        page.await_text("#back-facts", "takes an operator")
        assert page.at("#rollback").is_enabled() is False
        assert page.run("return [sessionStorage.length, localStorage.getItem('vecrollback-token')]") == [1, None]
        page.at("#signout").click()
        page.await_text("#signin", "Sign in")
        page.press(operator, Keys.ENTER)
        page.await_text("#who", "olaf · operator")
        page.await_text("#rollback", "Roll back to v1@1")
        page.at("#rollback").click()
        page.press("worse")
        page.at("#rollback-confirm").click()
        page.await_text("#timeline", "olaf")
        assert reader not in page.run("return document.documentElement.outerHTML")


def test_a_mix_is_told_in_words_and_drawn(own_store: Path, page: Page) -> None:
    named = [f"d{n}" for n in range(5, 12)]
    other = open_embedder(V2)
    plant(own_store, "v1", V2, named[:4], fingerprint=None)
    plant(own_store, "v1", V2, named[4:], fingerprint=other.fingerprint)
    with serving(own_store) as server:
        page.open(server.url)
        page.await_text("#pairs", "v1@1")
        page.at("[data-key='check-v2']").click()
        page.await_text("#reports", "✓ passed v2@1 · full")
        server.post("/v1/check", {"pair": "v1", "sample": 1000})
        found = page.await_text("#reports", "Vectors recorded as made by another embedder")
        for words in ("✕ failed", "2 findings", "no vector without a fingerprint", "d9", "confidence, at most"):
            assert words in found
        drawn = page.await_text("#map", "suspects")
        assert "4 re-embedded and found foreign, though recorded as its own" in drawn
        assert "3 recorded as made by another model" in drawn
        assert page.run("return document.querySelectorAll('#map svg.plane .named').length") == 4
        assert page.run("return document.querySelectorAll('#map svg.plane .other').length") == 3
        page.await_text("#back-facts", "v1: its last check says fail")
        assert page.complaints() == []


def plant(root: Path, name: str, spec: str, ids: list[str], *, fingerprint: str | None) -> None:
    """Let a faulty writer put vectors of another model into a pair, in files whose digests are right."""
    with connect(root) as store:
        pair = store.pair(name)
        vectors = store.resources.vectors_of(pair)
        rows = vectors.table.at(pair.vectors_version).to_table()
        known = rows["doc_id"].to_pylist()
        table = rows.take([known.index(id_) for id_ in ids])
        made = open_embedder(spec).embed_documents([store.get([id_])[id_].text for id_ in ids])
        values = {
            "batch": pa.array([pair.vectors_version + 1] * len(ids), pa.int64()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(made)), pair.dimension),
            "fingerprint": pa.array([fingerprint or pair.fingerprint] * len(ids), pa.string()),
        }
        for column, value in values.items():
            table = table.set_column(table.schema.get_field_index(column), table.schema.field(column), value)
        commit = vectors.append(table, known=pair.vectors_version)
        versions = {"vectors_version": commit.version, "expected": pair.vectors_version, "files": commit.files}
        store.resources.catalog.pairs.advance(name, watermark=pair.watermark, **versions)


def test_a_server_that_is_gone_is_told_and_not_stormed(own_store: Path, page: Page) -> None:
    ended = threading.Event()
    with connect(own_store) as store, serving(own_store) as server:
        job = store.start_job("re-embed", "v1", lambda report: ended.wait(30))
        page.open(server.url)
        page.await_text("#live-title", "v2@1 is live")
        page.await_text("#jobs", "running")
        server.process.terminate()
        server.process.wait(40)
        ended.set()
        job.wait(30)
    assert "What follows is of" in page.await_text("#lost", "The server does not answer")
    assert "Not known" in page.text("#verdict")
    assert page.text("#live-title") == "v2@1 is live"
    page.requests()
    time.sleep(2)
    assert len(page.requests()) <= 4


def test_the_files_are_served_strictly(server: Server) -> None:
    html = server.get("/")
    assert html.headers["Content-Type"].startswith("text/html")
    policy = html.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    script = server.get("/assets/app.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    again = server.get("/assets/app.js", headers={"If-None-Match": script.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    for path in ("/assets/none.js", "/assets/__init__.py", "/assets/..%2f..%2fapp.py", "/assets/%2e%2e/app.py"):
        assert server.get(path).status_code == 404
    for text in (html.text, server.get("/assets/base.css").text):
        assert "http://" not in text
        assert "https://" not in text
