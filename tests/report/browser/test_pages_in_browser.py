"""The pages in a real browser: silent, alone, readable at both widths and in print, and usable without a mouse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ldyn.report import build_report, compare_sweep, write_results

pytestmark = pytest.mark.browser

SIZES = {"laptop": (1280, 800), "phone": (390, 840)}
CHOOSE_SECOND = """for (const select of document.querySelectorAll("#chart-controls select")) {
  select.selectedIndex = 1;
  select.dispatchEvent(new Event("change"));
}"""
BROKEN_WORDS = """[...document.querySelectorAll("td, th")].filter((cell) => {
  if (cell.getBoundingClientRect().width < 30) return false; // hidden
  const range = document.createRange();
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    for (const match of walker.currentNode.data.matchAll(/(?<![\\p{L}\\d.])[\\p{L}\\d.]{2,24}(?![\\p{L}\\d.])/gu)) {
      range.setStart(walker.currentNode, match.index);
      range.setEnd(walker.currentNode, match.index + match[0].length);
      if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) return true;
    }
  }
  return false;
}).map((cell) => cell.innerText)"""


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory, synthetic: Any, extend_report: Path, without_pictures: Any
) -> dict[str, Path]:
    """The pages of a run, of a study, of a sweep and of several experiments."""
    directory = tmp_path_factory.mktemp("pages")
    for seed in range(3):
        table = synthetic.trajectories(synthetic.squeeze, ("chosen", "rejected"), 6, 3, seed=seed)
        manifest = {**synthetic.manifest(synthetic.squeeze), "name": "decompose", "seed": seed}
        synthetic.write(directory / f"decompose-{seed}", manifest=manifest, trajectories=table)
    study = {**synthetic.manifest(()), "name": "toy", "seeds": [0, 1]}
    unused = synthetic.trajectories(synthetic.squeeze, ("chosen",), 2, 2, ("train",))
    run = synthetic.write(directory / "study" / "toy", (), manifest=study, samples=None, trajectories=unused)
    with without_pictures():
        made = {"study": build_report(run), "sweep": compare_sweep(directory), "results": write_results(directory)[1]}
    return {"run": extend_report, **made}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["run", "study", "sweep", "results"])
def test_a_page_is_silent_asks_for_nothing_fits_and_breaks_no_word(
    browser: Any, pages: dict[str, Path], name: str, size: str
) -> None:
    browser.open(pages[name], *SIZES[size])
    browser.check_page()
    assert browser.run(BROKEN_WORDS) == []
    assert browser.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0 && i.alt.length > 3)")


def test_verdicts_have_their_colours_on_every_page(browser: Any, pages: dict[str, Path]) -> None:
    colour = "getComputedStyle(document.querySelector('.verdict-{}')).color"
    for page in ("run", "sweep", "results"):
        browser.open(pages[page], *SIZES["laptop"])
        assert browser.run(colour.format("holds")) == "rgb(20, 108, 46)"
        assert browser.run(colour.format("inconclusive")) == "rgb(107, 78, 0)"


def test_the_curves_are_on_the_first_screen(browser: Any, pages: dict[str, Path]) -> None:
    browser.open(pages["run"], *SIZES["laptop"])
    assert browser.run("document.getElementById('chart-svg').getBoundingClientRect().top") < 800
    assert browser.run("document.querySelectorAll('#chart-svg .curve').length") == 14  # 7 curves in 2 stages


def test_every_link_of_the_menu_leads_to_a_section_that_has_something(browser: Any, pages: dict[str, Path]) -> None:
    browser.open(pages["study"], *SIZES["laptop"])
    targets = browser.run("[...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))")
    assert targets == ["#findings", "#what-ran", "#settings", "#reproduce"]
    assert browser.run("[...document.querySelectorAll('nav a')].every((a) => document.querySelector(a.hash))")


def test_the_pointer_shows_step_examples_value_and_interval(browser: Any, extend_report: Path) -> None:
    browser.open(extend_report, *SIZES["laptop"])
    browser.run("document.getElementById('chart-svg').scrollIntoView()")
    box = browser.run(
        "(({x, y}) => [x, y])(document.querySelector('.series:last-of-type circle').getBoundingClientRect())"
    )
    browser.page.mouse.move(box[0] + 3, box[1] + 3)
    tip = browser.run("document.getElementById('chart-tip').innerText")
    assert re.search(r"step 40, 3,200 examples seen\s+[+−][\d.]+ \[[+−][\d.]+, [+−][\d.]+\]\s+n = 12", tip), tip
    assert browser.run("document.querySelectorAll('.series.active').length") == 2


def test_the_chart_works_with_the_keyboard_alone(browser: Any, extend_report: Path) -> None:
    browser.open(extend_report, *SIZES["laptop"])
    readout = "document.getElementById('chart-readout').textContent"
    for _ in range(60):
        browser.page.keyboard.press("Tab")
        if browser.run("document.activeElement.id") == "chart-svg":
            break
    last = browser.run(readout)
    assert "step 40" in last
    browser.page.keyboard.press("ArrowLeft")
    assert "step 30" in browser.run(readout)
    browser.page.keyboard.press("ArrowDown")
    lower = browser.run(readout)
    assert "step 30" in lower
    assert lower.split(" · ")[0] != last.split(" · ")[0]
    browser.page.keyboard.press("Escape")
    assert browser.run(readout) == ""


def test_every_control_changes_the_picture(browser: Any, extend_report: Path) -> None:
    browser.open(extend_report, *SIZES["laptop"])
    picture = "document.getElementById('chart-svg').innerHTML"
    seen = {browser.run(picture)}
    steps = (
        "document.querySelector('input[name=mode][value=level]').click()",
        "document.querySelector('input[name=split][value=test]').click()",
        "document.querySelector('input.probe[value=irr_hum]').click()",
        "[...document.querySelectorAll('#chart-controls button')].find((b) => b.textContent === 'All probes').click()",
        CHOOSE_SECOND,
    )
    for step in steps:
        browser.run(step)
        seen.add(browser.run(picture))
    assert len(seen) == 1 + len(steps)
    assert browser.complaints == []


def test_print_has_no_controls_and_everything_unfolded(browser: Any, extend_report: Path) -> None:
    browser.open(extend_report, *SIZES["laptop"])
    browser.page.emulate_media(media="print")
    hidden = "['nav', '.controls'].every((s) => getComputedStyle(document.querySelector(s)).display === 'none')"
    assert browser.run(hidden)
    browser.page.emulate_media(media="screen")
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    browser.run("window.dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") > 0


def test_hostile_text_runs_nothing(browser: Any, synthetic: Any, tmp_path: Path) -> None:
    attack = (
        "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">" + "W" * 900
    )
    table = synthetic.trajectories(synthetic.squeeze, ("chosen", attack), 2, 2, ("train",))
    samples = [{**row, "prompt": attack, "text": attack} for row in synthetic.samples(synthetic.squeeze, 1)]
    manifest = {**synthetic.manifest(synthetic.squeeze), "name": attack, "command": attack}
    run = synthetic.write(tmp_path / "run", trajectories=table, samples=samples, manifest=manifest, config=attack)
    report = build_report(run)
    for size in SIZES.values():
        browser.open(report, *size)
        browser.run("document.querySelectorAll('#chart-controls button')[1].click()")
        assert browser.run("document.title").startswith("</script>")
        assert browser.run("document.images.length") == browser.run("document.querySelectorAll('figure img').length")
        browser.check_page()


def test_the_check_itself_notices_requests_and_errors(browser: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text('<!DOCTYPE html><img src="http://127.0.0.1:9/x.png"><script>missing()</script>', encoding="utf-8")
    browser.open(bad)
    assert browser.requests == ["http://127.0.0.1:9/x.png"]
    assert any("missing is not defined" in complaint for complaint in browser.complaints)
