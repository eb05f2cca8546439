"""Preference pairs whose responses are the policy's own answers: SPIN, on-policy DPO.

One round is one stage: its pairs are sampled from the weights that it starts from, which are also its reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from ldyn.answers.comparison import GivenAnswer
from ldyn.answers.judges import Scorer
from ldyn.answers.settings import ResponsesConfig
from ldyn.records import PreferencePair


def on_policy_pairs(
    pairs: Sequence[PreferencePair],
    answers: Sequence[Sequence[GivenAnswer]],
    config: ResponsesConfig,
    judge: Scorer | None,
    random: Random,
) -> tuple[list[PreferencePair], Counter[str]]:
    """The pairs with their sampled sides replaced, and counts; ``answers``: the candidates of each pair.

    Between equally good answers a coin decides ("judged_equal" counts the pairs whose best is no better than their
    worst). A pair of equal texts stays, without effect ("equal_answers"); a side whose answer is empty keeps the data's
    response ("empty_answers"), so that a round always has as many pairs as the data.
    """
    counts: Counter[str] = Counter()
    drawn = [_drawn(pair, own, config, judge, random, counts) for pair, own in zip(pairs, answers, strict=True)]
    counts["equal_answers"] = sum(pair.chosen.strip() == pair.rejected.strip() for pair in drawn)
    return drawn, counts


def _drawn(
    pair: PreferencePair,
    answers: Sequence[GivenAnswer],
    config: ResponsesConfig,
    judge: Scorer | None,
    random: Random,
    counts: Counter[str],
) -> PreferencePair:
    ranked = _ranked(pair, answers, judge, random, counts)
    sides = {"chosen": pair.chosen, "rejected": pair.rejected}
    for side, text in (("chosen", ranked[0].text), ("rejected", ranked[-1].text)):
        if side in config.sampled:
            counts["empty_answers"] += not text.strip()
            sides[side] = text if text.strip() else sides[side]
    return replace(pair, chosen=sides["chosen"], rejected=sides["rejected"])


def _ranked(
    pair: PreferencePair,
    answers: Sequence[GivenAnswer],
    judge: Scorer | None,
    random: Random,
    counts: Counter[str],
) -> list[GivenAnswer]:
    """The candidates, best first."""
    if judge is None:
        return list(answers)
    scores = judge(pair.pair_id, answers, pair.prompt)
    order = sorted(range(len(answers)), key=lambda number: (-scores[number], random.random()))
    counts["judged_equal"] += scores[order[0]] == scores[order[-1]]
    return [answers[number] for number in order]
