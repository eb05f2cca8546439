"""The page: self-contained, escaped, complete, and the same whenever it is made from the same files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ldyn.report import build_report
from ldyn.report.figures import draw_figures

HOSTILE = (
    '<script>document.title="owned"</script></script><!--<img src=http://127.0.0.1:9/x onerror=alert(1)>'
    "\"'`{{ 7*7 }}{% raw %}</textarea>\u202eRTL \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627"
    "\U0001f469\u200d\U0001f52c\U0001f1ea\U0001f1fa \x00\x07\x1b[31m \u2028\u2029 &amp; &lt;b&gt; " + "W" * 3000
)


class Page(HTMLParser):
    """Tags with their attributes, text by element id of the section, scripts and styles."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in self.raw else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        (self.raw[self._inside] if self._inside else self.text).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def page(extend_report: Path) -> Page:
    return Page(extend_report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hostile_page(synthetic: Any, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Everything a user or a model can write, replaced by HOSTILE."""
    table = synthetic.trajectories(synthetic.squeeze, ("chosen", HOSTILE), 2, 2, ("train",))
    manifest = {
        **synthetic.manifest(synthetic.squeeze), "name": HOSTILE, "command": HOSTILE, "status": HOSTILE,
        "counts": {HOSTILE: HOSTILE}, "versions": {"torch": HOSTILE}, "started": HOSTILE,
    }  # fmt: skip
    samples = [
        {**row, "prompt": HOSTILE, "text": HOSTILE, "mode": HOSTILE, "borrowed_from": HOSTILE}
        for row in synthetic.samples(synthetic.squeeze, 1)
    ]
    findings = [{**row, "claim": HOSTILE, "unit": HOSTILE, "verdict": HOSTILE} for row in synthetic.findings]
    config = f"model: {json.dumps(HOSTILE)}\n"
    directory = tmp_path_factory.mktemp("hostile") / "run"
    parts = {"manifest": manifest, "samples": samples, "findings": findings, "config": config, "trajectories": table}
    report = build_report(synthetic.write(directory, **parts))
    return Page(report.read_text(encoding="utf-8"))


def test_nothing_points_outside_the_page(page: Page) -> None:
    loaded = ("src", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href")
    for tag, attributes in page.tags:
        for name in loaded:
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)
        assert re.match(r"#|data:,$", attributes.get("href") or "#"), (tag, attributes)
    assert not re.search(r"@import|url\(", page.raw["style"][0])
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|WebSocket|\.src\b", page.raw["script"][1])


def test_the_policy_lets_only_our_own_script_and_style_run(page: Page) -> None:
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for text in (page.raw["script"][1], page.raw["style"][0]):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert not any(name.startswith("on") or name == "style" for _, attributes in page.tags for name in attributes)


def test_the_sections_say_what_ran_and_what_was_found(page: Page) -> None:
    ids = {attributes.get("id") for attributes in page.all("section")}
    assert {"what-ran", "findings", "curves", "figures", "samples", "settings", "reproduce"} <= ids
    for words in (
        "squeeze_trial", "microworld", "tiny", "finished", "2 hold", "1 fails", "1 inconclusive", "✓ holds", "✗ fails",
        "? inconclusive", "+26.9", "[+24.1, +29.6]", "the interval contains 0", "D3 (HH)",
        "62 % repeated 4-grams", "the fact of train-9", "truncated prompts 3", '"peak_memory_mib": 1432.5',
        "ldyn train +exp=dpo_squeeze seed=1", "git checkout 0123456789abcdef", "ldyn report",
    ):  # fmt: skip
        assert words in page.words, words


def test_figures_are_embedded_with_words_for_who_cannot_see_them(page: Page, extend_report: Path) -> None:
    pictures = page.all("img")
    files = {file.read_bytes() for file in (extend_report.parent / "figures").iterdir()}
    assert {base64.b64decode((picture["src"] or "").split(",", 1)[1]) for picture in pictures} == files
    assert all(len(picture["alt"] or "") > 15 for picture in pictures)
    assert page.words.count("Mean over n = 12 train probe examples") >= len(pictures)


def test_the_charts_numbers_are_those_of_the_table(page: Page, extend_report: Path) -> None:
    chart = json.loads(page.raw["script"][0])
    assert [chain["stages"] for chain in chart["chains"]] == [["warm", "push"], ["wide", "push_wide"]]
    import pandas as pd

    table = pd.read_parquet(extend_report.parent / "trajectories.parquet")
    rows = table[(table.stage == "push") & (table.split == "test") & (table.probe == "rejected")]
    means = rows.groupby("step")["logp"].mean()
    numbers = chart["values"]["push"]["test"]["rejected"]["logp"]
    assert numbers["level"] == pytest.approx(means.tolist(), rel=1e-4)
    assert numbers["change"][-1] == pytest.approx(means.iloc[-1] - means.iloc[0], rel=1e-3)
    assert numbers["n"] == 12
    assert chart["stages"][1]["step"] == means.index.tolist()


def test_hostile_text_stays_text(hostile_page: Page) -> None:
    assert len(hostile_page.all("script")) == 2  # the data and our own
    assert not any((picture.get("src") or "").startswith("http") for picture in hostile_page.all("img"))
    assert hostile_page.all("main")
    assert hostile_page.words.count('<script>document.title="owned"</script>') > 8
    assert "{{ 7*7 }}" in hostile_page.words
    assert "&lt;b&gt;" in hostile_page.words  # the user's own entities are shown, not read
    assert HOSTILE in {probe["key"] for probe in json.loads(hostile_page.raw["script"][0])["probes"]}


def test_control_characters_are_made_visible(hostile_page: Page) -> None:
    shown = hostile_page.words
    assert "␀␇␛[31m" in shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", shown)


def test_a_lone_surrogate_in_a_sample_does_not_stop_the_report(synthetic: Any, tmp_path: Path) -> None:
    samples = [{**synthetic.samples(synthetic.squeeze, 1)[0], "text": "half \ud83d of an emoji"}]
    table = synthetic.trajectories(synthetic.squeeze, ("chosen",), 2, 2, ("train",))
    report = build_report(synthetic.write(tmp_path / "run", trajectories=table, samples=samples))
    assert "half ⟨U+D83D⟩ of an emoji" in report.read_text(encoding="utf-8")


def test_the_same_files_give_the_same_page(synthetic: Any, tmp_path: Path) -> None:
    table = synthetic.trajectories(synthetic.squeeze, ("chosen", "rejected"), 2, 2, ("train",))
    run = synthetic.write(tmp_path / "run", trajectories=table)
    first = build_report(run).read_bytes()
    assert build_report(run).read_bytes() == first


def test_a_run_that_is_published_meanwhile_gets_its_report_and_no_second_directory(
    synthetic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report brought RUN.partial back, with a page in it and nothing else."""
    partial = synthetic.write(
        tmp_path / "run.partial", trajectories=synthetic.trajectories(synthetic.squeeze, n_examples=3)
    )

    def publish_and_draw(material: Any) -> Any:
        partial.rename(tmp_path / "run")
        return draw_figures(material)

    monkeypatch.setattr("ldyn.report.run_page.draw_figures", publish_and_draw)
    assert build_report(partial) == tmp_path / "run" / "report.html"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "figures" / "overview.png").is_file()
