"""The results page: a row for every claim, numbers from the runs alone, what is missing named, nothing from outside."""

import re

import pytest

from ldyn.errors import RunDirectoryError
from ldyn.findings import CLAIMS, findings_over_seeds
from ldyn.report import build_report, compare_sweep, write_results
from ldyn.store import read_run

PROBES = ("chosen", "rejected", "chosen_gptsemantic", "irr_train")
HOSTILE = "<script>alert(1)</script> | **bold**"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, synthetic, without_pictures):
    """Three seeds of one experiment, one run that failed, and imported logs."""
    directory = tmp_path_factory.mktemp("reproduce") / "tiny"
    named = [(name, f"{name}-{seed}", seed) for name in ("decompose", "hh") for seed in range(3)]
    for name, run, seed in [*named, ("on_policy", "on_policy-0.partial", 0), ("import-logs", "theirs", None)]:
        command = f"ldyn train +exp={name} seed={seed} run={run} paths.outputs=/somewhere"
        manifest = {**synthetic.manifest(synthetic.squeeze), "name": name, "seed": seed, "command": command}
        table = synthetic.trajectories(synthetic.squeeze, PROBES, n_examples=6, evaluations=3, seed=seed or 9)
        synthetic.write(directory / run, manifest={**manifest, "notes": [HOSTILE]}, trajectories=table)
    with without_pictures():
        build_report(directory / "decompose-0")
    return directory


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory, without_pictures):
    with without_pictures():
        return write_results(runs, target=tmp_path_factory.mktemp("page"))


def test_every_claim_has_a_row_and_its_verdict_is_the_one_over_seeds(runs, page):
    ours = [read_run(runs / f"decompose-{seed}") for seed in range(3)]
    verdicts = {one.id: one.verdict for one in findings_over_seeds({"decompose": ours})}
    table = page[0].read_text().split("## What did not")[0]
    assert "| claim | real model | microworld | published logs | the paper |" in table
    rows = {line.split("**")[1]: line.split(" | ") for line in table.splitlines() if line.startswith("| **")}
    assert set(rows) == set(CLAIMS)
    for name, row in rows.items():
        assert verdicts.get(name, "–") in row[2]
        assert verdicts.get(name, "–") in row[3]  # the same numbers, under the names of experiments on a real model
    assert set(verdicts) >= {"S1", "D1", "D3"}
    # as committed; of the second there are means only
    assert rows["S1"][4].startswith("Pythia-410M · +59.6 [+56.8, +62.3]; Qwen1.5-1.8B · +66.4; theirs ")


def test_figures_lie_beside_the_page_and_inside_the_html(page):
    markdown, html = page
    linked = re.findall(r"\]\(([^)]+\.png)\)", markdown.read_text())
    assert any("sft_panel" in path for path in linked)
    assert {"published_pointwise.png", "published_pairwise.png"} <= {path.rpartition("/")[2] for path in linked}
    assert all((markdown.parent / path).is_file() for path in linked)
    assert html.read_text().count("data:image/png;base64,") == len(linked)
    assert not re.search(r'(src|href)="(?!data:|#)', html.read_text())


def test_text_of_others_stays_text(page):
    assert "<script>" not in page[1].read_text()
    assert "&lt;script&gt;" in page[1].read_text()


def test_command_code_and_time_come_from_the_manifests(page):
    text = page[0].read_text()
    assert "ldyn train +exp=decompose -m seed=0,1,2" in text
    assert "- Code: 0123456789ab; python 3.11.2" in text
    assert "| decompose | 0, 1, 2 | 2.2, 2.2, 2.2 |" in text  # 71.2 + 2 · 30.5 seconds


def test_a_directory_of_several_experiments_gets_the_results_page(runs, synthetic, monkeypatch):
    monkeypatch.setattr("ldyn.report.results.write_results", lambda path: (path / "RESULTS.md", path / "results.html"))
    manifest = {**synthetic.manifest(synthetic.squeeze), "name": "dpo_squeeze", "seed": 0}
    synthetic.write(runs / "other-0", manifest=manifest)
    assert compare_sweep(runs).name == "results.html"


def test_a_directory_without_runs_is_refused(tmp_path):
    with pytest.raises(RunDirectoryError, match="ldyn reproduce"):
        write_results(tmp_path)


def test_what_is_missing_is_named(page):
    text = page[0].read_text()
    assert "not in what follows:** on_policy-0." in text
    assert "### Fig. 1" in text
    assert "images_influence: not drawn, as no finished run of images measured it" in text
