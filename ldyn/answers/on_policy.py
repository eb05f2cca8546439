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
    response ("empty_answers"), so that a round always has as many pairs as the data. An answer cut at the limit has no
    end token ("cut_answers"); with cut_answers=drop it is no candidate, and a pair without candidates stays the data's.
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
    counts["cut_answers"] += sum(answer.stopped is False for answer in answers)
    usable = [answer for answer in answers if config.cut_answers == "keep" or answer.stopped is not False]
    if not usable:
        return pair
    ranked = _ranked(pair, usable, judge, random, counts)
    sides: dict[str, GivenAnswer] = {}
    of_data = {"chosen": pair.chosen, "rejected": pair.rejected}
    for side, answer in (("chosen", ranked[0]), ("rejected", ranked[-1])):
        if side in config.sampled:
            counts["empty_answers"] += not answer.text.strip()
            if answer.text.strip():
                sides[side] = answer
    chosen, rejected = (sides[side].text if side in sides else data for side, data in of_data.items())
    ids = {side: answer.token_ids for side, answer in sides.items()}
    return replace(pair, chosen=chosen, rejected=rejected, sampled=ids)


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
