"""Screenshots for the README: `python scripts/screenshots.py RUN` opens a run's explorer and report in both themes."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs"
THEMES = ("light", "dark")
SAVED = ((3, "A"), (1, "B"), (25, "C"))
"""Points of the map whose codes are saved, with their slots."""
SHOWN = 11
"""Point of the map that is shown."""


def main() -> None:
    """Write docs/explorer-*.png and docs/report-*.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run with its explorer")
    run = parser.parse_args().run.resolve()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("chromium was not found; install it, for example with apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for theme in THEMES:
            _explorer(browser, run, theme)
            _report(browser, run, theme)


def _open_page(browser: Browser, path: Path, theme: str, width: int, height: int) -> Page:
    dark = theme == "dark"
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page.goto(path.as_uri())
    return page


def _explorer(browser: Browser, run: Path, theme: str) -> None:
    page = _open_page(browser, run / "explorer.html", theme, 1440, 900)
    while not page.evaluate("() => Boolean(window.explorer && explorer.ready && explorer.strips)"):
        time.sleep(0.1)
    for point, slot in SAVED:
        page.evaluate("(index) => explorer.loadPoint(index)", point)
        page.wait_for_timeout(400)
        page.click(f"#save-{slot}")
    page.evaluate("(index) => explorer.loadPoint(index)", SHOWN)
    page.wait_for_timeout(2500)
    page.evaluate("() => window.scrollTo(0, 0)")
    page.screenshot(path=FOLDER / f"explorer-{theme}.png")
    page.close()


def _report(browser: Browser, run: Path, theme: str) -> None:
    page = _open_page(browser, run / "report.html", theme, 1100, 1150)
    page.screenshot(path=FOLDER / f"report-{theme}.png")
    page.close()


if __name__ == "__main__":
    main()
