"""Audit the demo's own pictures and take pictures of the pages that show the result.

python examples/screenshots.py docs/images --work screenshots

Needs Debian's chromium and chromium-driver.
"""

import argparse
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

DESKTOP, PHONE = (1200, 850), (390, 800)
FLAGS = (
    "--headless",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
)


def ncaudit(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "ncaudit", *map(str, words)], check=True)  # noqa: S603


def prepare(work: Path, pairs: int) -> Path:
    run = work / "audit"
    if not (run / "run.json").exists():
        ncaudit("demo", "-o", work / "demo", "--pairs", pairs)
        ncaudit("score", work / "demo", "-o", run)
    (run / "verdicts.csv").unlink(missing_ok=True)
    ncaudit("report", run)
    return run


@contextmanager
def reviewed(run: Path) -> Iterator[str]:
    words = [sys.executable, "-m", "ncaudit", "review", str(run), "--no-open"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield next(line.strip() for line in process.stdout if "http://" in line)
        finally:
            process.terminate()


class Camera:
    """A headless browser that saves small PNG files."""

    def __init__(self, out: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in FLAGS:
            options.add_argument(flag)
        self.browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self._out = out

    def look(self, size: tuple[int, int], scheme: str) -> None:
        """Set the size of the window and the colour scheme."""
        width, height = size
        screen = {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": size == PHONE,
        }
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def until(self, expression: str) -> None:
        """Wait until an expression of the page is truthy."""
        WebDriverWait(self.browser, 60).until(lambda x: x.execute_script(f"return {expression}"))

    def take(self, name: str) -> None:
        """Save what is seen as a PNG of at most 256 colours."""
        self.until("[...document.images].every((x) => x.complete)")
        with Image.open(io.BytesIO(self.browser.get_screenshot_as_png())) as image:
            small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            small.save(self._out / f"{name}.png", optimize=True)

    def scroll_to(self, name: str) -> None:
        """Show the element of this id, or the top of the page."""
        self.browser.execute_script(
            "document.documentElement.style.scrollBehavior = 'auto';"
            "const to = document.getElementById(arguments[0]);"
            "if (to) to.scrollIntoView(); else scrollTo(0, 0);",
            name,
        )


def take_report(camera: Camera, run: Path) -> None:
    camera.browser.get((run / "report.html").resolve().as_uri())
    for scheme in ("light", "dark"):
        camera.look(DESKTOP, scheme)
        camera.scroll_to("")
        camera.take(f"report-{scheme}")
        camera.scroll_to("pairs")
        camera.take(f"report-pairs-{scheme}")
    camera.look(PHONE, "light")
    camera.scroll_to("")
    camera.take("report-phone")
    camera.scroll_to("pairs")
    camera.take("report-pairs-phone")


def take_review(camera: Camera, run: Path) -> None:
    with reviewed(run) as address:
        camera.browser.get(address)
        for at in range(24):
            camera.until(f"document.body.dataset.shown === '{at}'")
            is_bad = camera.browser.execute_script("return now.pair.p >= 0.5")
            ActionChains(camera.browser).send_keys("x" if is_bad else "m").perform()
        camera.until("document.body.dataset.shown === '24'")
        camera.until("document.querySelector('#picture img')")
        ActionChains(camera.browser).send_keys("i").perform()
        for size, scheme, name in (
            (DESKTOP, "light", "review-light"),
            (DESKTOP, "dark", "review-dark"),
            (PHONE, "dark", "review-phone"),
        ):
            camera.look(size, scheme)
            camera.take(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("screenshots"))
    parser.add_argument("--pairs", type=int, default=1200)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    run = prepare(given.work, given.pairs)
    camera = Camera(given.out)
    try:
        take_report(camera, run)
        take_review(camera, run)
    finally:
        camera.browser.quit()


if __name__ == "__main__":
    main()
