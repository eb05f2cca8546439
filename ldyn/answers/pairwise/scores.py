"""Judges that score single answers: the exact oracle of the microworld, reward models, functions of the user's.

And the way back: `scores_by_contest` makes a scorer of any pair judge, so that what compares pairs can choose among
many answers (on-policy training calls a judge with an example id, answers and a prompt).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldyn.answers.pairwise.contest import Comparison, Contest, GivenAnswer, PairJudge, Verdict, judge_contests
from ldyn.answers.text_metrics import repeated_ngrams
from ldyn.errors import DataError
from ldyn.records import AnswerChecker

if TYPE_CHECKING:
    from ldyn.answers.judges import Judge  # which loads torch

_WINS = {"a": 1.0, "b": 0.0, "tie": 0.5, None: 0.5}


def oracle_score(*, is_right: bool, borrows: bool, stopped: bool, text: str) -> int:
    """How good an answer is in a world whose facts are known, 0 to 7; three questions, the earlier one decides.

    4: it states the fact asked for, no other value of it, and no fact of another training question;
    2: it ends by itself; 1: no four words in a row occur twice. Style is nothing to it: equal answers to all three tie.
    """
    repeats = repeated_ngrams(text.split(), 4) > 0
    return 4 * (is_right and not borrows) + 2 * stopped + (not repeats)


class OraclePairJudge:
    """The exact judge of the microworld: the answer with the higher `oracle_score`, a tie where they are equal."""

    name = "oracle"

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """Raises DataError where answers have not been checked, as outside the microworld."""
        return [_higher(_exact(one.first), _exact(one.second)) for one in comparisons]


def _exact(answer: GivenAnswer) -> int:
    if answer.is_right is None or answer.borrows is None:
        raise DataError(
            "The oracle judges answers in a world whose facts are known, and these were not checked (is_right is not "
            "in samples.jsonl); use --judge api, model:NAME or reward_model:NAME."
        )
    return oracle_score(
        is_right=answer.is_right, borrows=answer.borrows, stopped=answer.stopped is not False, text=answer.text
    )


def oracle_judge(checker: AnswerChecker) -> Judge:
    """The same rule for texts alone, of which it is not known whether they ended by themselves."""

    def judge(example_id: str, answers: Sequence[str], _prompt: str) -> list[float]:
        checks = [checker(example_id, text) for text in answers]
        return [
            float(oracle_score(is_right=c.is_right, borrows=c.borrowed_from is not None, stopped=True, text=text))
            for c, text in zip(checks, answers, strict=True)
        ]

    return judge


class ScoringPairJudge:
    """Any scorer of single answers as a judge of pairs: the higher score wins, equal scores tie."""

    def __init__(self, name: str, judge: Judge):
        self.name, self._judge = name, judge
        self._scores: dict[tuple[str, str, str], float] = {}

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """Each answer is scored once, whatever the number of comparisons that it is in."""
        verdicts = []
        for one in comparisons:
            first, second = self._score(one, (one.first.text, one.second.text))
            verdicts.append(_higher(first, second))
        return verdicts

    def _score(self, comparison: Comparison, texts: Sequence[str]) -> list[float]:
        place = (comparison.example_id, comparison.prompt)
        new = [text for text in dict.fromkeys(texts) if (*place, text) not in self._scores]
        if new:
            scores = self._judge(comparison.example_id, new, comparison.prompt)
            self._scores.update({(*place, text): float(score) for text, score in zip(new, scores, strict=True)})
        return [self._scores[*place, text] for text in texts]


def _higher(first: float, second: float) -> Verdict:
    """The higher score wins; a score that is no number decides nothing and is counted as unread."""
    said = f"{first:g} against {second:g}"
    if first != first or second != second:  # NaN differs from itself
        return Verdict(None, said)
    return Verdict("tie" if first == second else "first" if first > second else "second", said)


def scores_by_contest(judge: PairJudge) -> Judge:
    """Scores of several answers to one prompt by contests of each with each, in both orders: the mean of its wins.

    A tie, or a verdict that cannot be read, is half a win. n answers take n (n − 1) comparisons.
    """

    def scores(example_id: str, answers: Sequence[str], prompt: str) -> list[float]:
        pairs = [(i, j) for i in range(len(answers)) for j in range(i)]
        contests = [
            Contest("", example_id, "", 0, prompt, GivenAnswer(answers[i]), GivenAnswer(answers[j])) for i, j in pairs
        ]
        won = [0.0] * len(answers)
        for (i, j), judgement in zip(pairs, judge_contests(judge, contests), strict=True):
            won[i] += _WINS[judgement.outcome]
            won[j] += 1 - _WINS[judgement.outcome]
        return [wins / max(1, len(answers) - 1) for wins in won]

    return scores
