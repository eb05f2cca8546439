"""Which experiment decides which claim: declared here once, so that no look-alike on a page changes a verdict.

A part of `ldyn reproduce` is an experiment of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ldyn.store import Run

DEPTHS = ("depth_1_4", "depth_5_15", "depth_16_40")
"""Parts that differ in the ranks that y⁻ is drawn from; D5 is judged from all of them together."""
DEPTH_SERIES = "depth series"
NESTED = "dpo_squeeze_nested"
"""Further pairs and orders in the world of another run (``dataset.world_seed``); decides nothing, see ``variance``."""

_SQUEEZE = ("dpo_squeeze", "decompose", "hh", "hh_extend")
SOURCES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("S1", "S3", "S4", "S5", "S6", "D1", "D2", "D3", "D3b"), _SQUEEZE),
    "S2": ("dpo_squeeze_log", *_SQUEEZE),
    **dict.fromkeys(("E1", "E2"), ("extend_wins", "extend", "hh_extend")),
    "E3": ("extend_wins", "hh_extend"),
    "D4": ("sft_length",),
    "D5": (DEPTH_SERIES,),
    "O1": ("on_policy",),
    **dict.fromkeys(("T1", "T2", "T3", "T4", "T5"), ("toy",)),
    "M1": ("images",),
    **dict.fromkeys(("K1", "K2", "K3", "K4", "K5", "K6"), ("decompose",)),
    **dict.fromkeys(("R1", "R2", "R3", "R4", "R5"), ("grpo",)),
}
"""Claim -> the experiments that may decide it; the first that is there does. `decompose` is `dpo_squeeze` with
snapshots, so it may stand in."""

ORDER = (
    *("toy", "images", "hh", "hh_extend", "dpo_squeeze", "dpo_squeeze_log", *DEPTHS, NESTED, "decompose"),
    *("extend_wins", "extend", "sft_length", "on_policy", "mitigations", "grpo", "hh_tiny", "smoke"),
)
"""The experiments that ldyn knows, as a page shows them; the user's own come last."""


def experiment_of(run: Run) -> str:
    """The name of the experiment; of a reproduction's run the name of its part."""
    return str(run.manifest.get("name"))


def place_of(name: str) -> tuple[int, str]:
    """To sort experiments by ORDER; unknown ones by name."""
    return (ORDER.index(name) if name in ORDER else len(ORDER)), name


def deciding(claim: str, experiments: Sequence[str]) -> list[str]:
    """Which of ``experiments`` may decide ``claim``, the first choice first: the declared ones, then the user's own.

    An experiment that stands alone is asked about all that it measures.
    """
    if len(experiments) == 1:
        return list(experiments)
    known = {*ORDER, DEPTH_SERIES}
    declared = [name for name in SOURCES.get(claim, ()) if name in experiments]
    return declared + [name for name in experiments if name not in known]
