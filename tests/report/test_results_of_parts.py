"""The results page of a reproduction: parts, the depth series, variance components, and the first paragraph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldyn.findings import CLAIMS
from ldyn.report import compare_sweep, write_results
from ldyn.report.abstract import abstract, by_family
from ldyn.store.sweeps import Sweep, SweepJob, write_sweep

RANKS = {"depth_1_4": "[1, 4]", "depth_5_15": "[5, 15]", "depth_16_40": "[16, 40]"}
PARTS: dict[str, Sequence[int]] = {
    "dpo_squeeze": (0, 1, 2), "dpo_squeeze_log": (0, 1, 2), "dpo_squeeze_nested": (3, 4),
    **dict.fromkeys(RANKS, (0, 1, 2)),
}  # fmt: skip


def write_part(directory: Path, synthetic: Any, part: str, seeds: Sequence[int], name: str = "") -> None:
    for seed in seeds:
        run = f"{part}-{seed}"
        command = f"ldyn train +exp=dpo_squeeze seed={seed} run={run}"
        manifest = {**synthetic.manifest(synthetic.squeeze), "name": name or part, "seed": seed, "command": command}
        manifest |= {"hashes": {"data": f"{part}{seed}"}}
        manifest["stages"] = [{**stage, "steps": 20} for stage in manifest["stages"]]
        table = synthetic.trajectories(
            synthetic.squeeze, n_examples=4, evaluations=3, splits=("train",), seed=100 * list(PARTS).index(part) + seed
        )
        if part in RANKS:  # the deeper, the more y⁺ falls
            falls = (table["stage"] == "push") & (table["probe"] == "chosen") & (table["step"] > 0)
            table["logp"] -= np.where(falls, 4.0 * list(RANKS).index(part), 0)
        config = [
            f"name: {name or part}", f"seed: {seed}", f"kind: {'log' if part.endswith('_log') else 'linear'}",
            "dataset:", "  source: microworld", f"  rejected_ranks: {RANKS.get(part, '[6, 40]')}",
            f"  world_seed: {0 if part.endswith('_nested') else 'null'}",
        ]  # fmt: skip
        synthetic.write(directory / run, manifest=manifest, trajectories=table, config="\n".join(config) + "\n")


@pytest.fixture(scope="module")
def page(tmp_path_factory: Any, synthetic: Any, without_pictures: Any) -> str:
    directory = tmp_path_factory.mktemp("parts") / "tiny"
    for part, seeds in PARTS.items():
        write_part(directory, synthetic, part, seeds)
    words = ("+exp=dpo_squeeze", "seed=0", "name=depth_1_4", "paths.cache='x'")
    write_sweep(directory, Sweep(("reproduce",), (SweepJob("depth_1_4-0", words, ""),)))
    with without_pictures():
        return write_results(directory)[0].read_text()


def cell(page: str, claim: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"| **{claim}**")).split(" | ")[2]


def test_each_claim_names_the_part_that_decides_it(page: str) -> None:
    assert cell(page, "S1").endswith("from dpo_squeeze")
    assert cell(page, "S2").endswith("from dpo_squeeze_log")
    assert cell(page, "D5").startswith("✓ holds +8")
    assert cell(page, "D5").endswith("from depth series")
    assert "### dpo_squeeze_log\n\n```\nldyn train +exp=dpo_squeeze -m seed=0,1,2" in page
    assert "### depth_1_4\n\n```\nldyn train +exp=dpo_squeeze name=depth_1_4 -m seed=0,1,2" in page


def test_depth_series_and_variance_are_shown(page: str) -> None:
    assert "](figures/results/squeeze_by_depth.png)" in page
    assert "Squeeze of the DPO stage" in page
    assert "5 runs in 3 worlds." in page
    assert re.search(r"\| SFT: change of y⁺ \| S1 \| \+\d\S+ \| \d\S* \| \d\S* \| \d+% \[\d+%, \d+%\] \|", page)
    assert "| DPO: change of y⁺ | D1, D3 |" in page


def test_a_sweep_over_depths_has_the_figure_too(tmp_path: Path, synthetic: Any, without_pictures: Any) -> None:
    for part in RANKS:
        write_part(tmp_path, synthetic, part, (0, 1, 2), name="dpo_squeeze")
    with without_pictures():
        text = compare_sweep(tmp_path).with_name("comparison.md").read_text()
    assert "| claim | rejected_ranks=[1, 4] | rejected_ranks=[5, 15] | rejected_ranks=[16, 40] |" in text
    assert "**D5** The deeper in the tail y⁻ lies, the stronger DPO squeezes: ✓ holds +8" in text
    assert "![squeeze_by_depth](squeeze_by_depth.png)" in text


def test_a_page_whose_parts_are_missing_says_so(tmp_path: Path, synthetic: Any, without_pictures: Any) -> None:
    write_part(tmp_path, synthetic, "depth_1_4", (0, 1))
    write_part(tmp_path, synthetic, "dpo_squeeze_log", (0, 1, 2))
    with without_pictures():
        text = write_results(tmp_path, published=False)[0].read_text()
    assert "*Not drawn, as no run of depth_5_15, depth_16_40 has finished.*" in text
    assert "sft_panel: not drawn, as no finished run of dpo_squeeze or decompose measured it" in text
    assert cell(text, "D5") == cell(text, "D3") == "–"
    first = text.split("\n\n")[1]
    assert first.startswith("No finished run measures that DPO squeezes (D3). In the microworld ")
    assert "no finished run measures SFT (S1, S3, S4, S5, S6), DPO (D1, D2, D3, D3b), extend (E1, E2)" in first
    assert first.endswith("No run on a real model has finished. No published logs were read.")


def test_the_first_paragraph_says_what_held_and_where_in_five_sentences(page: str) -> None:
    first = page.split("\n\n")[1]
    sentences = re.findall(r"(?:[^.]|\.(?! [A-Z]|$))+\.", first)
    assert len(sentences) == 5
    assert re.match(r"That DPO squeezes \(D3\) \w+ .*in the microworld over 3 seeds \(\+\d", sentences[0])
    assert re.match(r" In the microworld \d+ of \d+ claims that were measured hold: SFT \(S1", sentences[1])
    assert re.match(r" Of the others some", sentences[2])
    assert "Pythia-410M as claimed in SFT (S1), DPO (D2), not in DPO (D1);" in sentences[4]


def test_nothing_measured_at_all() -> None:
    assert abstract({}, {}).startswith(
        "No finished run measures that DPO squeezes (D3). No claim was measured in the microworld."
    )
    assert by_family(list(CLAIMS)).startswith("SFT (S1, S2, S3, S4, S5, S6), DPO (D1,")
