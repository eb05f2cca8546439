"""E3: do the answers win more often after SFT on chosen *and* rejected (paper, Table 1)?

It rests on the table ``wins`` (columns: ``ldyn.answers.pairwise.wins``): greedy answers of two arms to the same
question after equally many epochs of preference training, judged in both orders. As in E1 and E2 the verdict is that
of the extended arm most alike to the baseline in number of updates, and the others are controls.
The rule and its thresholds were fixed before any contest was judged.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ldyn.findings.claims_extend import over_extended_arms
from ldyn.findings.curves import Evidence, preference_stage_after
from ldyn.findings.intervals import MIN_EXAMPLES
from ldyn.findings.measurement import Measurement
from ldyn.findings.parts import Part, mean_part
from ldyn.records import StageInfo

PAPER_EPOCHS = 6.0
"""Table 1 ends there."""
EVEN = 0.5


def extended_answers_win(evidence: Evidence) -> Measurement | None:
    """E3: after DPO, the answers of the extended arm win against the baseline's more often than they lose.

    Contests: 1 for a win of the extended arm, 0 for a loss, 1/2 for a tie (among them those in which the two orders
    disagree), by the run's first judge. Questions: the unseen ones (split "test"); where there are none, the training
    questions.
    Statistic: (1) each question's mean over all judged moments after DPO's start and up to 6 epochs, where the paper's
    table ends; (2) the outcome at the end of DPO. Each as a mean over questions, with its interval over them.
    Rule: holds if both are above 1/2, fails if either is below. Left open where fewer than 8 questions are decided (not
    tied throughout) in a part: the judge can hardly tell the arms apart, and of a few no interval can be trusted.
    Told beside, not judged: wins, ties and losses at each moment, before DPO too; the training questions; other judges.
    """
    return over_extended_arms(evidence, _contests)


def _contests(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> Measurement | None:
    table = evidence.table("wins")
    base, extend = preference_stage_after(evidence, baseline), preference_stage_after(evidence, extended)
    if table is None or base is None or extend is None:
        return None
    own = table[(table["arm"] == extend.name) & (table["baseline"] == base.name)]
    judges = list(dict.fromkeys(table["judge"]))
    judged = own[(own["judge"] == judges[0]) & own["won"].notna()]
    splits = set(judged["split"])
    if not splits:
        return None
    split = "test" if "test" in splits else "train"
    asked = judged[judged["split"] == split]
    between = f"win rate of {extend.name} over {base.name}"
    moments = [(words, frame) for words, frame in _moments(asked) if len(frame)]
    parts = [_part(f"{between} on {split} questions {words}", frame) for words, frame in moments]
    if not parts:
        return None
    notes = [_counts(judged[judged["split"] == one], one) for one in ("test", "train") if one in splits]
    notes += [_by_another(own[own["judge"] == judge], judge, split) for judge in judges[1:]]
    note = f"won–tied–lost by {judges[0]}: {'; '.join(notes)}"
    return Measurement(parts, (baseline, extended, base, extend), note, left_open=_too_few_decided(moments))


def _moments(asked: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The two parts of the claim in words, with the contests behind them."""
    within = asked[(asked["epoch"] > 0) & (asked["epoch"] <= PAPER_EPOCHS)]
    end = asked["epoch"].max()
    epochs = ", ".join(f"{epoch:g}" for epoch in sorted(within["epoch"].unique()))
    last = asked[(asked["epoch"] == end) & (asked["epoch"] > 0)]
    return [(f"after {epochs} epochs, their mean", within), (f"at the end, after {end:.3g} epochs", last)]


def _part(quantity: str, contests: pd.DataFrame) -> Part:
    of_questions = contests.groupby("example_id")["won"].mean()
    return mean_part(quantity, "above", of_questions, unit="", bound=EVEN)


def _too_few_decided(moments: Sequence[tuple[str, pd.DataFrame]]) -> list[str]:
    """Of each part in which nearly all questions tie throughout, how many do not."""
    few = []
    for words, contests in moments:
        decided = contests[contests["won"] != EVEN]["example_id"].nunique()
        if decided < MIN_EXAMPLES:
            asked = contests["example_id"].nunique()
            few.append(
                f"{words} {decided} of {asked} questions are decided, the rest tie, and {MIN_EXAMPLES} are needed"
            )
    return few


def _counts(contests: pd.DataFrame, split: str) -> str:
    """Of every moment how many contests were won, tied and lost."""
    by_epoch = contests.groupby("epoch")["won"]
    counts = ["–".join(str(int((won == value).sum())) for value in (1.0, EVEN, 0.0)) for _, won in by_epoch]
    epochs = [f"{epoch:.3g}" for epoch in by_epoch.groups]
    return f"{', '.join(counts)} on {split} questions after {', '.join(epochs)} epochs"


def _by_another(contests: pd.DataFrame, judge: str, split: str) -> str:
    asked = contests[(contests["split"] == split) & contests["won"].notna()]
    rates = asked.groupby("epoch")["won"].mean()
    words = ", ".join(f"{rate:.3f} after {epoch:.3g}" for epoch, rate in rates.items())
    return f"by {judge} the win rate on {split} questions is {words} epochs"
