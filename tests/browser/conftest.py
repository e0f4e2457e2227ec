"""A headless chromium that reaches no network, shared by the tests of this folder."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

WAIT_S = 30
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--window-size=1280,900",
)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start the browser once; without one skip, or fail where one is required."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        why = "no chromium: apt-get install chromium chromium-driver"
        if os.environ.get("NCAUDIT_REQUIRE_BROWSER"):
            pytest.fail(why)
        pytest.skip(why)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Any) -> Any:
    """The browser with empty logs and no page."""
    chromium.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    return chromium


@pytest.fixture
def press(browser: Any) -> Callable[..., None]:
    """Press keys, one after the other, wherever the focus is."""
    from selenium.webdriver.common.action_chains import ActionChains

    def press_keys(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    return press_keys


@pytest.fixture
def wait_for(browser: Any) -> Callable[[str], Any]:
    """Wait until an expression of the page is truthy, and return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    def wait(expression: str) -> Any:
        waiting = WebDriverWait(browser, WAIT_S, poll_frequency=0.05)
        return waiting.until(lambda each: each.execute_script(f"return {expression}"))

    return wait


@pytest.fixture
def requested(browser: Any) -> Callable[[], list[str]]:
    """Return the addresses requested since the page was opened."""

    def addresses() -> list[str]:
        events = [
            json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
        ]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    return addresses
