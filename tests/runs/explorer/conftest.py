"""A browser, and pages opened from the disk that must ask nothing of the network."""

import shutil
import time

import pytest
from made import made_explorer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("there is no chromium here, so that no page can be opened")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


class Opened:
    """A page and everything that it said or asked for."""

    def __init__(self, browser, path, fragment="", **context):
        self.page = browser.new_context(viewport={"width": 1440, "height": 1000}, **context).new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{path.as_uri()}{fragment}")
        self.until("() => explorer.ready && explorer.strips > 0")

    def until(self, condition, seconds=60):
        """Wait for a condition; the page's own policy forbids the usual way, which evaluates text."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"{condition} did not come true; the page said {self.said}"
            time.sleep(0.02)

    def still(self):
        """Wait until nothing is being drawn, and what is shown is what is wanted."""
        strips = self.page.evaluate("() => explorer.strips")
        self.until(f"() => explorer.strips > {strips}")
        self.until("() => explorer.shown.z.every((value, d) => value === explorer.state.z[d])")

    def z(self):
        """The code that is shown."""
        return self.page.evaluate("() => Array.from(explorer.shown.z)")

    def image(self):
        """The decoder's numbers that are shown."""
        return self.page.evaluate("() => Array.from(explorer.shown.pixels)")

    def clicked(self, selector):
        self.page.click(selector)
        self.still()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens an explorer's page; in the end it must have said nothing and asked for nothing."""
    pages = []

    def write(explorer, fragment="", **context):
        path = explorer.write(tmp_path / "page of an explorer.html")
        pages.append(Opened(chromium, path, fragment, **context))
        return pages[-1]

    yield write
    for each in pages:
        assert each.said == []
        assert [url for url in each.asked if not url.startswith(("file://", "blob:"))] == []
        assert len([url for url in each.asked if url.startswith("file://")]) == 1
        each.page.context.close()


@pytest.fixture(scope="session")
def explorer():
    """One explorer, its page made once."""
    return made_explorer()
