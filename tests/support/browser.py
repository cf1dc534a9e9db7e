"""A headless Chromium, and what tests ask of a page in it."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="needs a browser driver: pip install 'vecrollback[dev]'")

from selenium import webdriver
from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)
_AXE = Path(__file__).parent / "axe" / "axe.min.js"
"""axe-core 4.14.1, by Deque, under the Mozilla Public License 2.0, as its package has it."""
_RUN_AXE = """
const done = arguments[0];
axe.run(document, { resultTypes: ["violations"] }).then((result) => done(result.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 160))])));
"""
_FOUND = {name: shutil.which(name) for name in ("chromium", "chromedriver")}


class Page:
    """One tab, driven as a person would: keys, clicks, and reading what is there."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get("about:blank")  # or what was open goes on asking its server, which may be gone
        self.complaints()
        self.requests()
        self.driver.get(url)

    def run(self, script: str, *values: Any) -> Any:
        """The value of a JavaScript function body."""
        return self.driver.execute_script(script, *values)

    def at(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "body") -> str:
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def await_text(self, selector: str, wanted: str, seconds: float = 20.0) -> str:
        """Wait until the node's text holds the wanted words."""
        deadline = time.monotonic() + seconds
        while True:
            found = ""
            with contextlib.suppress(JavascriptException, StaleElementReferenceException):
                found = self.text(selector)
            if wanted in found:
                return found
            assert time.monotonic() < deadline, f"{selector} never said {wanted!r}, but {found!r}"
            time.sleep(0.05)

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, id_: str, limit: int = 60) -> None:
        """Go there by the Tab key alone."""
        for _ in range(limit):
            if self.run("return document.activeElement.id") == id_:
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{id_} is not reached by {limit} times Tab")

    def tab_to_key(self, key: str, limit: int = 250) -> None:
        """Go to the control that the page calls `data-key`, by the Tab key alone."""
        for _ in range(limit):
            if self.run("return document.activeElement.dataset.key ?? ''") == key:
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{key} is not reached by {limit} times Tab")

    def by_keyboard(self, key: str, *answers: str) -> str:
        """Open the action `key`, answer its fields in their order, confirm; returns what the page says of it."""
        self.tab_to_key(key)
        self.press(Keys.ENTER)
        self.await_open("action")
        for answer in answers:
            self.press(*([answer] if answer else []), Keys.TAB)
        self.tab_to("action-confirm", limit=12)
        self.press(Keys.ENTER)
        deadline = time.monotonic() + 40
        while self.run("return document.getElementById('action').open"):
            problem = self.text("#action-problem")
            assert not problem, problem
            assert time.monotonic() < deadline, f"{key} was never answered"
            time.sleep(0.05)
        return self.text("#announce")

    def await_open(self, dialog: str, seconds: float = 20.0) -> None:
        """Wait until a dialog is open."""
        deadline = time.monotonic() + seconds
        while not self.run("return document.getElementById(arguments[0]).open", dialog):
            assert time.monotonic() < deadline, f"the dialog {dialog} never opened"
            time.sleep(0.05)

    def serious_findings(self) -> list[Any]:
        """What axe finds wrong with the page, as far as it is serious or critical: rule, and where."""
        self.run(f"if (!window.axe) {{ {_AXE.read_text()} }}")
        return list(self.driver.execute_async_script(_RUN_AXE))

    def prefer(self, scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    @contextlib.contextmanager
    def width(self, pixels: int, height: int = 800) -> Iterator[None]:
        size = {"width": pixels, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def complaints(self) -> list[str]:
        """What the console said since the last time it was asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last time this was."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [entry["params"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Page]:
    """A browser with an empty profile, and more flags. Skips the test where there is none."""
    binary, driver = _FOUND["chromium"], _FOUND["chromedriver"]
    if binary is None or driver is None:
        pytest.skip("needs Chromium and ChromeDriver: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*_FLAGS, *flags, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        started = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield Page(started)
        finally:
            started.quit()
