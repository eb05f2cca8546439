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
    drawn = []
    for pair, own in zip(pairs, answers, strict=True):
        cut = [answer for answer in own if answer.stopped is False]
        counts["cut_answers"] += len(cut)
        candidates = [answer for answer in own if config.cut_answers == "keep" or answer not in cut]
        if judge is not None and candidates:
            scores = judge(pair.pair_id, candidates, pair.prompt)
            order = sorted(range(len(candidates)), key=lambda number: (-scores[number], random.random()))
            counts["judged_equal"] += scores[order[0]] == scores[order[-1]]
            candidates = [candidates[number] for number in order]
        drawn.append(_with_sides(pair, candidates, config, counts))
    counts["equal_answers"] = sum(pair.chosen.strip() == pair.rejected.strip() for pair in drawn)
    return drawn, counts


def _with_sides(
    pair: PreferencePair, ranked: Sequence[GivenAnswer], config: ResponsesConfig, counts: Counter[str]
) -> PreferencePair:
    """The best candidate as chosen and the worst as rejected, on the sides that are sampled."""
    sides = {"chosen": ranked[0], "rejected": ranked[-1]} if ranked else {}
    sides = {side: answer for side, answer in sides.items() if side in config.sampled}
    counts["empty_answers"] += sum(not answer.text.strip() for answer in sides.values())
    sides = {side: answer for side, answer in sides.items() if answer.text.strip()}
    texts = {"chosen": pair.chosen, "rejected": pair.rejected, **{side: one.text for side, one in sides.items()}}
    ids = {side: answer.token_ids for side, answer in sides.items()}
    return replace(pair, chosen=texts["chosen"], rejected=texts["rejected"], sampled=ids)
