"""The judges, by name: of `ldyn judge`, of ``wins.judges`` and of on-policy labels.

facts                the microworld's exact check: the fact is right and none is borrowed; then, the answer ends by
                     itself; then, no four words in a row occur twice
reward_model:NAME    a reward model of transformers, from the hub or a directory
MODULE:FUNCTION      your own function, found by import: (example_id, answers, prompt) -> a score for each answer
api                  a language model behind an endpoint, at temperature 0

The first three score single answers, and the higher score is preferred; only they can label on-policy answers. ``api``
compares two answers.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldyn.algorithms.registry import import_user_module
from ldyn.answers.chats import AnswerCache, Progress
from ldyn.answers.comparison import Comparison, GivenAnswer, Judge, Verdict
from ldyn.answers.measures import repeated_ngrams
from ldyn.answers.settings import API, FACTS, JUDGES, REWARD_MODEL, ApiConfig, judge_name_fault
from ldyn.errors import DataError
from ldyn.records import AnswerChecker

if TYPE_CHECKING:
    from ldyn.answers.generation import Answer  # which loads torch

Scorer = Callable[[str, Sequence[GivenAnswer], str], Sequence[float]]
"""(example id, answers, prompt) -> a score for each answer, the higher the better."""

UserJudge = Callable[[str, Sequence[str], str], Sequence[float]]


def judge_fault(name: str, *, scoring: bool = False) -> str | None:
    """What is wrong with the judge called ``name``, or None. Imports a user's function, but loads no model.

    scoring: whether it has to score single answers, for on-policy labels.
    """
    if fault := judge_name_fault(name):
        return fault
    if name == API:
        expected = f"expected a judge that scores answers: {FACTS}, {REWARD_MODEL}NAME, MODULE:FUNCTION"
        return f"found {name!r}, which compares two answers; {expected}" if scoring else None
    return import_fault(name, _user_function)


def import_fault(name: str, find: Callable[[str], object]) -> str | None:
    """What is wrong with the user's function called ``name``, which ``find`` imports; None for the other names."""
    if name == FACTS or name.startswith(REWARD_MODEL):
        return None
    try:
        find(name)
    except DataError as error:
        return str(error)
    return None


def find_judge(
    name: str,
    cache: AnswerCache,
    *,
    api: ApiConfig | None = None,
    template: Path | None = None,
    progress: Progress | None = None,
) -> Judge:
    """The judge called ``name``; a reward model is loaded here. Raises an LdynError where it cannot be used."""
    if name != API:
        return ScoringJudge(name, find_scorer(name))

    from ldyn.answers.api_model import ApiModel
    from ldyn.answers.chat_judge import ChatJudge, compare_template

    assert api is not None
    return ChatJudge(ApiModel(api, cache, progress), compare_template(template))


def find_scorer(name: str) -> Scorer:
    """The judge called ``name``, where it scores single answers. Raises an LdynError where it cannot be used."""
    if fault := judge_fault(name, scoring=True):
        raise DataError(f"judge: {fault}.")
    if name == FACTS:
        return lambda _example_id, answers, _prompt: [facts_score(answer) for answer in answers]
    if name.startswith(REWARD_MODEL):
        from ldyn.answers.reward_model import reward_model

        reward = reward_model(name.removeprefix(REWARD_MODEL))
        return lambda _example_id, answers, prompt: [reward(prompt, answer.text) for answer in answers]
    return _by_user_function(name, _user_function(name))


def facts_score(answer: GivenAnswer) -> int:
    """How good an answer is in a world whose facts are known, 0 to 7; three questions, the earlier one decides.

    4: it states the fact asked for, no other value of it, and no fact of another training question;
    2: it ends by itself; 1: no four words in a row occur twice. Style does not count.
    Raises DataError where the answer has not been checked, as outside the microworld.
    """
    if answer.is_right is None or answer.borrows is None:
        raise DataError(
            "The judge facts needs answers in a world whose facts are known, and these were not checked (no is_right); "
            f"choose another judge: {JUDGES}."
        )
    repeats = repeated_ngrams(answer.text.split(), 4) > 0
    return 4 * (answer.is_right and not answer.borrows) + 2 * (answer.stopped is not False) + (not repeats)


def checked_answer(checker: AnswerChecker | None, example_id: str, answer: Answer) -> GivenAnswer:
    """A sampled answer with what the ``checker`` knows of it; without one, nothing."""
    check = None if checker is None else checker(example_id, answer.text)
    right = None if check is None else check.is_right
    borrows = None if check is None else check.borrowed_from is not None
    return GivenAnswer(answer.text, answer.stopped, right, borrows, answer.n_tokens, answer.token_ids)


def _user_function(name: str) -> UserJudge:
    return user_function(name, ("example_id", "answers", "prompt"))


def user_function(name: str, parameters: Sequence[str], *, by_name: bool = False) -> Callable[..., Any]:
    """The function MODULE:FUNCTION. Raises DataError where it cannot be imported or takes other arguments."""
    module_name, _, function_name = name.partition(":")
    try:
        function: Callable[..., Any] = vars(import_user_module(module_name))[function_name]
        signature = inspect.signature(function)
        signature.bind(**dict.fromkeys(parameters)) if by_name else signature.bind(*parameters)
    except Exception as error:  # a user's module may raise anything
        expected = f"expected a function that can be imported from here and takes ({', '.join(parameters)})"
        raise DataError(f"found {name!r} ({type(error).__name__}: {error}), {expected}") from error
    return function


def _by_user_function(name: str, function: UserJudge) -> Scorer:
    def score(example_id: str, answers: Sequence[GivenAnswer], prompt: str) -> list[float]:
        scores = function(example_id, [answer.text for answer in answers], prompt)
        try:
            return [float(score) for _, score in zip(answers, scores, strict=True)]
        except (TypeError, ValueError):
            raise DataError(f"The judge {name} returned {scores!r:.200}; expected a number for each answer.") from None

    return score


class ScoringJudge:
    """A scorer of single answers as a judge of two: the higher score wins, equal scores tie, NaN is unread."""

    def __init__(self, name: str, scorer: Scorer):
        self.name, self._scorer = name, scorer
        self._scores: dict[tuple[str, str, GivenAnswer], float] = {}

    def compare(self, pairs: Sequence[Comparison]) -> list[Verdict]:
        """Each answer is scored once, however many pairs it is in."""
        for pair in pairs:
            answers = dict.fromkeys((pair.a, pair.b))
            new = [answer for answer in answers if (pair.example_id, pair.prompt, answer) not in self._scores]
            for answer, score in zip(new, self._scorer(pair.example_id, new, pair.prompt) if new else (), strict=True):
                self._scores[pair.example_id, pair.prompt, answer] = score
        both = ([self._scores[one.example_id, one.prompt, answer] for answer in (one.a, one.b)] for one in pairs)
        return [self._verdict(*scores) for scores in both]

    @staticmethod
    def _verdict(first: float, second: float) -> Verdict:
        said = f"{first:g} against {second:g}"
        if math.isnan(first) or math.isnan(second):
            return Verdict(None, said)
        return Verdict("tie" if first == second else "first" if first > second else "second", said)
