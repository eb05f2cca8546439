"""The results page: a row for every claim, numbers from the runs alone, what is missing named, nothing from outside."""

import json
import re

import pytest

from ldyn.errors import RunDirectoryError
from ldyn.findings import CLAIMS
from ldyn.findings.over_seeds import findings_over_seeds
from ldyn.report import build_report
from ldyn.report.results import write_results
from ldyn.store import read_run

HOSTILE = "<script>alert(1)</script> | **bold**"


def job(name: str, status: str = "finished", **changes):
    part, _, _ = name.partition("/")
    times = {"expected_seconds": 60.0, "seconds": 90.0 if status == "finished" else 0.0}
    arguments = ["train", f"+exp={part}", "seed=0", "run=seed-0", "paths.outputs=/somewhere"]
    made = {"makes": ["base", "warm"], "takes_over": {}}
    return {
        "name": name,
        "part": part,
        "arguments": arguments,
        "directory": name,
        "status": status,
        **made,
        **times,
        **changes,
    }


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory, synthetic):
    """Three seeds of one experiment, one run that failed, and imported logs."""
    directory = tmp_path_factory.mktemp("reproduce") / "tiny"
    jobs = [job(f"decompose/seed-{seed}") for seed in range(3)]
    jobs += [job("on_policy/seed-0", "failed", error="out of luck"), job("logs/theirs")]
    for number, one in enumerate(entry for entry in jobs if entry["status"] == "finished"):
        manifest = {**synthetic.manifest(synthetic.squeeze), "seed": number, "notes": [HOSTILE]}
        table = synthetic.trajectories(synthetic.squeeze, n_examples=12, evaluations=4, seed=number)
        synthetic.write(directory / one["directory"], manifest=manifest, trajectories=table)
    build_report(directory / "decompose" / "seed-0")
    state = {
        "scale": "tiny", "seeds": [0, 1, 2], "at_a_time": 2, "wall_seconds": 300.0, "command": "ldyn reproduce",
        "versions": {"torch": "2.13.0"}, "git": {"commit": "0123456789abcdef", "dirty": False},
        "machine": {"platform": "Linux"}, "parts": ["decompose", "on_policy"], "jobs": jobs,
    }  # fmt: skip
    (directory / "reproduction.json").write_text(json.dumps(state))
    return directory


@pytest.fixture(scope="module")
def page(reproduction, tmp_path_factory):
    markdown, html = write_results(reproduction, tmp_path_factory.mktemp("page"))
    return markdown, html


def test_every_claim_has_a_row_and_its_verdict_is_the_one_over_seeds(reproduction, page):
    runs = [read_run(reproduction / "decompose" / f"seed-{seed}") for seed in range(3)]
    verdicts = {one.id: one.verdict for one in findings_over_seeds({"decompose": runs})}
    table = page[0].read_text().split("## What did not")[0]
    rows = {match[1]: line for line in table.splitlines() if (match := re.match(r"\| \*\*(\w+)\*\*", line))}
    assert set(rows) == set(CLAIMS)
    for name, row in rows.items():
        assert verdicts.get(name, "not measured") in row
    assert set(verdicts) >= {"S1", "D1", "D3"}


def test_what_is_missing_is_named(page):
    text = page[0].read_text()
    assert "on_policy/seed-0 (failed)" in text
    assert "### Fig. 1" in text
    assert "images_influence: not drawn" in text.replace(" ", " ")


def test_figures_lie_beside_the_page_and_inside_the_html(page):
    markdown, html = page
    linked = re.findall(r"\]\(([^)]+\.png)\)", markdown.read_text())
    assert any("sft_panel" in path for path in linked)
    assert all((markdown.parent / path).is_file() for path in linked)
    assert html.read_text().count("data:image/png;base64,") == len(linked)
    assert not re.search(r'(src|href)="(?!data:|#)', html.read_text())


def test_text_of_others_stays_text(page):
    assert "<script>" not in page[1].read_text()
    assert "&lt;script&gt;" in page[1].read_text()


def test_time_and_command_are_told(page):
    text = page[0].read_text()
    assert "ldyn train -m +exp=decompose seed=0,1,2" in text
    assert "| decompose/seed-0 | base, warm | – | 1.5 | 1.0 |" in text


def test_another_directory_is_refused(tmp_path):
    with pytest.raises(RunDirectoryError, match="ldyn reproduce"):
        write_results(tmp_path, tmp_path)
