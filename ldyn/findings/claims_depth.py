"""D5: squeezing grows the deeper y⁻ lies in the tail, judged over runs that differ in the ranks it is drawn from.

The squeeze is that of D3's stage: the change of log π(y*) along y⁺ minus the change of y⁺. Runs of one seed have the
same world, questions and y⁺ at every depth, so differences are taken within each example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pandas as pd

from ldyn.errors import RunDirectoryError
from ldyn.findings.claim import Claim, Part, secondary
from ldyn.findings.claims_arms import Change, change_of, squeeze
from ldyn.findings.evidence import Evidence
from ldyn.findings.seed_runs import check_seeds, seed_of, settings_but_seed
from ldyn.findings.stages import PreferenceArm, preference_stage
from ldyn.store import Run

SETTING = "dataset.rejected_ranks"


class DepthSeries(Evidence):
    """The squeezing stages of one seed's runs; each is named by the ranks of y⁻, the shallowest first."""


def depth_series(runs: Sequence[Run]) -> tuple[dict[str, Evidence], list[str]]:
    """Seed -> its runs at all depths together; and a note for each seed that lacks one of them.

    Raises RunDirectoryError where the runs differ in more than their seed and depth.
    """
    depths: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        first, last = settings_but_seed(run)[SETTING]
        depths.setdefault((first, last), []).append(run)
    for (first, last), own in depths.items():
        check_seeds(f"y⁻ from ranks {first}–{last}", own)
    differing = _differing([own[0] for own in depths.values()])
    if differing - {SETTING}:
        found = ", ".join(sorted(differing))
        raise RunDirectoryError(f"depth series: expected runs that differ in {SETTING} alone. Found: {found}.")
    series: dict[str, dict[tuple[int, int], Run]] = {}
    for ranks in sorted(depths):
        for run in depths[ranks]:
            series.setdefault(seed_of(run), {})[ranks] = run
    whole: dict[str, Evidence] = {seed: _together(own) for seed, own in series.items() if len(own) == len(depths)}
    return whole, [f"{seed} is not used: it lacks a depth" for seed in series if seed not in whole]


def differs_in_depth_alone(runs: Sequence[Run]) -> bool:
    """Whether these runs, whatever their seeds, are of several depths and equal in every other setting."""
    return _differing(runs) == {SETTING}


def _differing(runs: Sequence[Run]) -> set[str]:
    settings = [settings_but_seed(run) for run in runs]
    keys = {key for one in settings for key in one} - {"name"}
    return {key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings)}


def _together(runs: Mapping[tuple[int, int], Run]) -> DepthSeries:
    frames, stages, planned = [next(iter(runs.values())).trajectories[:0]], [], {}
    for (first, last), run in runs.items():
        stage = preference_stage(Evidence(run.trajectories, run.stages, {}, {}))
        if stage is not None:
            name = f"ranks {first}–{last}"
            frames.append(run.trajectories[run.trajectories["stage"] == stage.name].assign(stage=name))
            stages.append(replace(stage, name=name))
            planned[name] = run.planned_steps.get(stage.name, 0)
    return DepthSeries(pd.concat(frames, ignore_index=True), stages, planned, {})


def by_depth(evidence: Evidence, change: Change = squeeze) -> pd.DataFrame | None:
    """Examples × depths, the shallowest first, nats; None where ``evidence`` is no series or lacks a curve."""
    if not isinstance(evidence, DepthSeries) or len(evidence.stages) < 2:
        return None
    found = {stage.name: change(evidence, PreferenceArm((stage,))) for stage in evidence.stages}
    return None if any(one is None for one in found.values()) else pd.DataFrame(found)


_SHOWN: Mapping[str, Change] = {
    "squeeze": squeeze,
    "greedy": change_of("chosen", "logp_argmax"),
    "chosen": change_of("chosen"),
}


def means_by_depth(runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Squeeze, change of the greedy mass along y⁺, and change of y⁺: seeds × depths, means over examples in nats.

    Empty where the runs are of one depth. Raises RunDirectoryError as ``depth_series`` does.
    """
    series, _ = depth_series(runs)
    tables = {
        name: {seed: own.mean() for seed, one in series.items() if (own := by_depth(one, change)) is not None}
        for name, change in _SHOWN.items()
    }
    return {name: pd.DataFrame(means).T for name, means in tables.items() if means}


def _deepest(evidence: Evidence) -> pd.Series | None:
    found = by_depth(evidence)
    return None if found is None else found.iloc[:, -1] - found.iloc[:, 0]


def _steps(evidence: Evidence) -> Mapping[str, pd.Series]:
    found = by_depth(evidence)
    if found is None:
        return {}
    return {f"{deeper} minus {before}": found[deeper] - found[before] for before, deeper in pairwise(found)}


CLAIMS = (
    Claim(
        "D5",
        "The deeper in the tail y⁻ lies, the stronger DPO squeezes",
        "Sec. 3 and App. E: the less likely y⁻, the stronger; not measured",
        (
            Part("squeeze (change of log π(y*) minus that of y⁺), deepest y⁻ minus shallowest", "above", _deepest),
            secondary("squeeze at", "above", _steps, each="each depth minus that at the next shallower one"),
        ),
        lambda evidence: evidence.stages if isinstance(evidence, DepthSeries) else (),
        note="Planned depths: y⁻ from ranks 1–4, 5–15 and 16–40.",
    ),
)
