"""The page of a study in a real browser: silent, alone, and readable at both widths, with no section that is empty."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ldyn.cli.main import main

pytestmark = pytest.mark.browser

SIZES = {"laptop": (1280, 800), "phone": (390, 840)}
TOO_WIDE = """[...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, nav, svg"))
  .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small `ldyn toy`."""
    directory = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv)
        patch.setenv("HYDRA_FULL_ERROR", "0")
        assert (
            main(["toy", "seeds=2", "toy.labels=[12]", "toy.starts=4", "toy.steps=2", f"paths.run={directory / 'run'}"])
            == 0
        )
    return directory / "run" / "report.html"


@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_silent_asks_for_nothing_and_fits(browser: Any, page: Path, size: str) -> None:
    browser.open(page, *SIZES[size])
    assert browser.run(TOO_WIDE) == []
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.complaints == []
    assert browser.requests == []


def test_every_link_of_the_menu_leads_to_a_section_that_has_something(browser: Any, page: Path) -> None:
    browser.open(page, *SIZES["laptop"])
    targets = browser.run("[...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))")
    assert targets == ["#what-ran", "#findings", "#figures", "#settings", "#reproduce"]
    assert browser.run("[...document.querySelectorAll('nav a')].every((a) => document.querySelector(a.hash))")
    assert browser.run("document.querySelectorAll('.empty').length") == 0
    assert browser.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0 && i.alt.length > 60)")


def test_what_is_folded_is_unfolded_in_print(browser: Any, page: Path) -> None:
    browser.open(page, *SIZES["laptop"])
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    browser.run("window.dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") > 0
