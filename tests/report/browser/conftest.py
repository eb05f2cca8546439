"""One page of a headless system Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
TOO_WIDE = """[...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, nav, svg"))
  .map((e) => e.outerHTML.slice(0, 120))"""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: needs Chromium on PATH and playwright")


class Browser:
    """``requests``: addresses that the page asked for besides itself; ``complaints``: its console and its errors."""

    def __init__(self, page: Any):
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self._requested(request.url, request.is_navigation_request()))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _requested(self, url: str, is_page: bool) -> None:
        if not is_page and not url.startswith("data:"):
            self.requests.append(url)

    def open(self, path: Path, width: int = 1280, height: int = 900) -> None:
        """Load a local page in a window of the given size (CSS pixels)."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.requests.clear()
        self.complaints.clear()
        self.page.goto(path.as_uri())
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.page.evaluate(expression)

    def check_page(self) -> None:
        """Nothing is wider than the window, and the page was silent and asked for nothing."""
        assert self.run(TOO_WIDE) == []
        assert self.run("document.documentElement.scrollWidth <= innerWidth")
        assert self.complaints == []
        assert self.requests == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Tests are skipped where there is no Chromium or no playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("found no Chromium on PATH; install it to test the pages in a browser")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Browser(chromium.new_page())
        chromium.close()
