"""Who prefers which answer: a judge gives each answer to one prompt a score, and the higher one is preferred.

facts                   the known facts of a generated world (the microworld)
reward_model:NAME       a reward model of transformers, from the hub or a directory
MODULE:FUNCTION         a function of the user's, found by import
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ldyn.algorithms.registry import import_user_module
from ldyn.answers.reward_model import reward_model_judge
from ldyn.answers.text_metrics import repeated_ngrams
from ldyn.errors import DataError
from ldyn.records import AnswerChecker

Judge = Callable[[str, Sequence[str], str], Sequence[float]]
"""(example id, answers, prompt) -> a score for each answer."""

REWARD_MODEL = "reward_model:"


def judge_named(name: str, checker: AnswerChecker | None) -> Judge:
    """The judge that a configuration names. Raises DataError where it cannot be had, saying what would help."""
    if name == "facts":
        return facts_judge(checker)
    if name.startswith(REWARD_MODEL):
        return reward_model_judge(name.removeprefix(REWARD_MODEL))
    return _imported(name)


def facts_judge(checker: AnswerChecker | None) -> Judge:
    """1 for an answer that states the fact asked for and no other value of it, else 0; less its repeated 4-grams.

    Two true answers that do not repeat are equally good to it: the facts know no style.
    """
    if checker is None:
        raise DataError("judge: found 'facts', but the facts of this data set are not known; name a judge of your own.")

    def judge(example_id: str, answers: Sequence[str], _prompt: str) -> list[float]:
        return [float(checker(example_id, text).is_right) - repeated_ngrams(text.split(), 4) for text in answers]

    return judge


def _imported(name: str) -> Judge:
    module_name, _, function_name = name.partition(":")
    try:
        judge: Judge = vars(import_user_module(module_name))[function_name]
    except (ImportError, KeyError, ValueError) as error:
        expected = f"expected facts, {REWARD_MODEL}NAME, or MODULE:FUNCTION that can be imported from here"
        raise DataError(f"judge: found {name!r} ({type(error).__name__}: {error}), {expected}.") from error
    return judge
