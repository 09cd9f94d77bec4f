"""A real Chromium, driven through Debian's driver: no browser is downloaded."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "bench" / "out" / "shots"
AXE = (ROOT / "tests/browser/vendor/axe-core-4.14.0/axe.min.js").read_text()
WIDE, PHONE = (1280, 800), (390, 844)
PATIENCE_S = 60.0

#: Runs axe, and tells what it finds with the first places of each.
_FINDINGS = """
const done = arguments[0];
const place = (node) => `${node.html} ${node.failureSummary}`;
const words = (found) => `${found.id}: ${found.nodes.slice(0, 3).map(place).join(" | ")}`;
axe.run(document, {resultTypes: ["violations"]})
  .then((r) => done(r.violations.map(words)), (error) => done([String(error)]));
"""

T = TypeVar("T")


def find() -> tuple[str, str]:
    """Chromium and its driver. Without them the test is skipped, or fails in CI."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(found):
        why = "no chromium and chromedriver: apt-get install chromium chromium-driver"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(why)
        pytest.skip(why)
    return str(found[0]), str(found[1])


class Browser:
    """One window."""

    def __init__(self) -> None:
        chromium, driver = find()
        options = Options()
        options.binary_location = chromium
        for flag in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        os.environ["SE_OFFLINE"] = "true"
        self.driver = webdriver.Chrome(options, Service(driver))
        self.size(WIDE)

    def close(self) -> None:
        self.driver.quit()

    # ---- how it looks ---------------------------------------------------------------------------

    def size(self, size: tuple[int, int]) -> None:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._cdp("Emulation.setDeviceMetricsOverride", metrics)

    def theme(self, name: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": name}]
        self._cdp("Emulation.setEmulatedMedia", {"features": features})

    def shot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(SHOTS / f"{name}.png"))

    # ---- what is there --------------------------------------------------------------------------

    def open(self, url: str) -> None:
        self.driver.get(url)

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def wait(self, look: Callable[[], T], what: str, patience: float = PATIENCE_S) -> T:
        """What `look` finds at last."""
        until = time.monotonic() + patience
        while True:
            try:
                if found := look():
                    return found
            except StaleElementReferenceException:
                pass  # it was drawn anew just then
            if time.monotonic() > until:
                self.shot("failed")
                pytest.fail(f"{what} was not there within {patience} s:\n{self.text()}")
            time.sleep(0.05)

    def see(self, text: str, patience: float = PATIENCE_S) -> None:
        self.wait(lambda: text in self.text(), repr(text), patience)

    def click(self, css: str, what: str) -> None:
        """The first of these, once there is one: what was found may be drawn anew meanwhile."""

        def clicked() -> bool:
            for element in self.all(css):
                element.click()
                return True
            return False

        self.wait(clicked, what)

    def press(self, text: str, inside: str = "body") -> None:
        """The button of this text, once it can be pressed."""

        def pressed() -> bool:
            for button in self.all(f"{inside} button"):
                if button.text == text and button.is_displayed() and button.is_enabled():
                    button.click()
                    return True
            return False

        self.wait(pressed, f"the button {text!r}")

    # ---- what is wrong --------------------------------------------------------------------------

    def findings(self) -> list[str]:
        """What axe finds on the page."""
        if not self.run("return Boolean(window.axe)"):
            self.run(AXE)
        found = self.driver.execute_async_script(_FINDINGS)
        return list(found)

    def sideways(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(
            self.run("const p = document.scrollingElement; return p.scrollWidth - p.clientWidth")
        )

    def complaints(self) -> list[str]:
        """What the console says that is an error."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] == "SEVERE"
        ]

    def asked(self) -> set[str]:
        """The addresses that were asked for since the last time."""
        found = set()
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(message["params"]["request"]["url"])
        return found

    def _cdp(self, command: str, arguments: dict[str, Any]) -> None:
        self.driver.execute_cdp_cmd(command, arguments)
