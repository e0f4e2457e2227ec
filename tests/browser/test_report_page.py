"""report.html opened from disk, as a person opens it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncaudit.audit.report import write_report
from ncaudit.report.parts import read_part
from tests.support.scored_runs import many_pairs, write_scored_run
from tests.support.shards import pair

pytestmark = pytest.mark.slow
HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    "<a href='javascript:window.hacked = 3'>x</a><svg onload='window.hacked = 4'>"
    "<link rel=stylesheet href='http://127.0.0.1:9/x.css'>"
)
Press = Callable[..., None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shards, p = many_pairs(80)
    shards["00002"] = [("hostile", pair("red", HOSTILE))]
    folder = tmp_path_factory.mktemp("report")
    repairs = {"hostile": HOSTILE, "00002": "a better caption"}
    return write_scored_run(folder, shards, {**p, ("hostile", 0): 1.0}, repairs=repairs)


@pytest.fixture
def opened(run: Path, browser: Any) -> Any:
    browser.get(write_report(run).path.resolve().as_uri())
    return browser


def text(browser: Any, name: str) -> str:
    return str(
        browser.execute_script("return document.getElementById(arguments[0]).textContent", name)
    )


def keys_shown(browser: Any) -> list[str]:
    places = (
        "return [...document.querySelectorAll('.card .body > .place')].map((x) => x.textContent)"
    )
    return [str(place) for place in browser.execute_script(places)]


def test_the_slider_counts_what_the_threshold_drops(opened: Any, run: Path, press: Press) -> None:
    from selenium.webdriver.common.keys import Keys

    parts = sorted((run / "scores").glob("*.parquet"))
    p = np.concatenate([read_part(part)["p_mismatch"].to_numpy() for part in parts])
    press("t", *[Keys.ARROW_LEFT] * 20)
    for threshold in (0.3, 0.45):
        dropped = p[p >= threshold]
        assert text(opened, "threshold-value") == f"{threshold:.2f}"
        assert text(opened, "dropped") == f"{len(dropped)}"
        assert text(opened, "removed") == f"{dropped.sum():.0f}"
        lost = (1 - dropped).sum()
        assert text(opened, "lost") == (f"{lost:.1f}" if lost < 10 else f"{lost:.0f}")
        assert f"--threshold {threshold:.2f}" in text(opened, "command")
        press(*[Keys.ARROW_RIGHT] * 15)
    whole = opened.execute_script(
        "return [...document.querySelectorAll('tr[data-table=\"0\"] .share-text')].map((x) => x.textContent)"
    )
    assert whole[-1] == "100.0 %"  # the shard of the one hostile pair


def test_pairs_are_paged_sorted_and_filtered_by_keyboard(opened: Any, press: Press) -> None:
    from selenium.webdriver.common.keys import Keys

    assert text(opened, "position") == "1–12 of 81"
    first = keys_shown(opened)
    press(Keys.ARROW_RIGHT)
    assert text(opened, "position") == "13–24 of 81"
    assert not set(first) & set(keys_shown(opened))
    press("k")
    assert keys_shown(opened) == first
    press("3")
    assert text(opened, "position") == "1–2 of 2"
    press("1", "/", "number 17", Keys.ESCAPE)
    assert keys_shown(opened) == ["00000/00017"]
    press("/", *[Keys.BACKSPACE] * 9, "nothing like it", Keys.ESCAPE)
    assert text(opened, "nothing") == "No pair here fits the filter."


def test_help_is_a_key_away(opened: Any, press: Press) -> None:
    press("?")
    assert opened.execute_script("return document.getElementById('help').open")


def test_nothing_is_requested_and_nothing_of_a_caption_runs(
    opened: Any, requested: Callable[[], list[str]], wait_for: Callable[[str], Any]
) -> None:
    wait_for("[...document.images].length && [...document.images].every((x) => x.complete)")
    assert {address.partition(":")[0] for address in requested()} <= {"file", "data"}
    assert opened.execute_script("return window.hacked === undefined")
    assert (
        opened.execute_script(
            "return document.querySelectorAll('link, a[href^=javascript]').length"
        )
        == 0
    )
    shown = opened.execute_script("return document.querySelector('.card .caption').textContent")
    assert shown == HOSTILE
    assert opened.get_log("browser") == []


def test_pictures_are_shown(opened: Any, wait_for: Callable[[str], Any]) -> None:
    assert opened.execute_script("return document.images.length") == 12
    wait_for("[...document.images].every((x) => x.complete && x.naturalWidth === 32)")


def test_the_page_can_be_read_aloud(opened: Any) -> None:
    script = """return {
      names: [...document.querySelectorAll("input, select, button")]
        .filter((x) => !(x.labels && x.labels.length) && !x.textContent.trim() && !x.ariaLabel)
        .map((x) => x.outerHTML),
      pictures: [...document.images].filter((x) => !x.alt).length,
      landmarks: ["header", "nav", "main"].filter((x) => !document.querySelector(x)),
      headings: document.querySelectorAll("h1").length,
      language: document.documentElement.lang,
    }"""
    assert opened.execute_script(script) == {
        "names": [],
        "pictures": 0,
        "landmarks": [],
        "headings": 1,
        "language": "en",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(opened: Any, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    weak = opened.execute_script(CONTRAST)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert weak == []


def test_a_phone_need_not_scroll_sideways(opened: Any) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    width = opened.execute_script("return document.documentElement.scrollWidth")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360


# Every text against the nearest background that is opaque: WCAG's 4.5, 3 where it is large.
CONTRAST = """
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => colour.slice(0, 3)
    .map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, at) => sum + x * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const weak = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((x) => x.nodeType === 3 && x.textContent.trim());
    if (!own || !node.checkVisibility() || node.disabled || node.closest("svg, dialog")) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgba(style.color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) weak.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
  }
  return weak;
"""
