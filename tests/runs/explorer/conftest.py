"""A browser, and explorer pages opened from disk, which must not access the network."""

import time

import pytest
from made import made_explorer


class Opened:
    """An open page with its console messages and requests."""

    def __init__(self, browser, path, fragment="", **context):
        self.page = browser.new_context(viewport={"width": 1440, "height": 1000}, **context).new_page()
        self.messages, self.requests = [], []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{path.as_uri()}{fragment}")
        self.wait_until("() => explorer.ready && explorer.strips > 0")

    def wait_until(self, condition, seconds=60):
        """Wait for a condition; the page's content security policy forbids `wait_for_function`."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"{condition} did not come true; messages: {self.messages}"
            time.sleep(0.02)

    def still(self):
        """Wait until the page has drawn the current code."""
        strips = self.page.evaluate("() => explorer.strips")
        self.wait_until(f"() => explorer.strips > {strips}")
        self.wait_until("() => explorer.shown.z.every((value, d) => value === explorer.state.z[d])")

    def z(self):
        """The code of the image shown."""
        return self.page.evaluate("() => Array.from(explorer.shown.z)")

    def image(self):
        """The decoder output shown."""
        return self.page.evaluate("() => Array.from(explorer.shown.pixels)")

    def click(self, selector):
        self.page.click(selector)
        self.still()


@pytest.fixture
def opened(chromium, tmp_path):
    """A function that opens an explorer's page; at the end it must have no console messages and no requests."""
    pages = []

    def write(explorer, fragment="", **context):
        path = explorer.write(tmp_path / "page of an explorer.html")
        pages.append(Opened(chromium, path, fragment, **context))
        return pages[-1]

    yield write
    for each in pages:
        assert each.messages == []
        assert [url for url in each.requests if not url.startswith(("file://", "blob:"))] == []
        assert len([url for url in each.requests if url.startswith("file://")]) == 1
        each.page.context.close()


@pytest.fixture(scope="session")
def explorer():
    """An explorer whose page is rendered once."""
    return made_explorer()
