"""Preference pairs whose responses are the policy's own answers: SPIN, on-policy DPO.

One round is one stage: its pairs are drawn from the weights that it starts from, which are its reference as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from ldyn.answers.judges import Judge
from ldyn.answers.settings import ResponsesConfig
from ldyn.records import PreferencePair


def on_policy_pairs(
    pairs: Sequence[PreferencePair],
    answers: Sequence[Sequence[str]],
    config: ResponsesConfig,
    judge: Judge | None,
    random: Random,
) -> tuple[list[PreferencePair], Counter[str]]:
    """The pairs with their drawn sides replaced, and what was counted; ``answers``: the candidates of each pair.

    Between answers that the judge finds equally good a coin decides ("judged_equal" counts the pairs whose best is no
    better than their worst). A pair of equal texts stays, without effect ("equal_answers"); a side whose answer is
    empty keeps the data's response ("empty_answers"), so that a round always has as many pairs as the data.
    """
    counts: Counter[str] = Counter()
    drawn = [_drawn(pair, texts, config, judge, random, counts) for pair, texts in zip(pairs, answers, strict=True)]
    counts["equal_answers"] = sum(pair.chosen.strip() == pair.rejected.strip() for pair in drawn)
    return drawn, counts


def _drawn(
    pair: PreferencePair,
    texts: Sequence[str],
    config: ResponsesConfig,
    judge: Judge | None,
    random: Random,
    counts: Counter[str],
) -> PreferencePair:
    ranked = _ranked(pair, texts, judge, random, counts)
    sides = {"chosen": pair.chosen, "rejected": pair.rejected}
    for side, text in (("chosen", ranked[0]), ("rejected", ranked[-1])):
        if side in config.sampled:
            counts["empty_answers"] += not text.strip()
            sides[side] = text if text.strip() else sides[side]
    return replace(pair, chosen=sides["chosen"], rejected=sides["rejected"])


def _ranked(
    pair: PreferencePair, texts: Sequence[str], judge: Judge | None, random: Random, counts: Counter[str]
) -> list[str]:
    """The candidates, best first."""
    if judge is None:
        return list(texts)
    scores = judge(pair.pair_id, texts, pair.prompt)
    order = sorted(range(len(texts)), key=lambda number: (-scores[number], random.random()))
    counts["judged_equal"] += scores[order[0]] == scores[order[-1]]
    return [texts[number] for number in order]
