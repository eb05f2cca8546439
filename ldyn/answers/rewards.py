"""Rewards of answers that are sampled as a model trains, by name: ``algorithm.reward`` of GRPO.

facts                the microworld's exact check: 1 where the fact is right and none is borrowed, else 0
reward_model:NAME    a reward model of transformers, from the hub or a directory
MODULE:FUNCTION      your own, in TRL's form: (prompts, completions, completion_ids, example_id), all lists -> numbers
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ldyn.answers.judges import import_fault, user_function
from ldyn.answers.settings import API, FACTS, REWARD_MODEL, judge_name_fault
from ldyn.errors import DataError, TrainingError
from ldyn.records import AnswerChecker

REWARDS = f"{FACTS}, {REWARD_MODEL}NAME, MODULE:FUNCTION"
Reward = Callable[[Sequence[str], Sequence[str], Sequence[Sequence[int]]], list[float]]
"""(example ids, texts, token ids) of sampled answers -> a finite reward for each."""


def reward_fault(name: str) -> str | None:
    """What is wrong with the reward called ``name``, or None. Imports a user's function, but loads no model."""
    if name == API or judge_name_fault(name):
        return f"found {name!r}, expected one of {REWARDS}"
    return import_fault(name, _user_function)


def find_reward(name: str, checker: AnswerChecker | None, prompts: Mapping[str, str]) -> Reward:
    """The reward called ``name``; a reward model is loaded here. ``prompts``: example id -> text.

    It raises TrainingError for anything but a finite number for each answer. Raises an LdynError where it cannot be
    used.
    """
    reward = _found(name, checker, prompts)

    def checked(ids: Sequence[str], texts: Sequence[str], token_ids: Sequence[Sequence[int]]) -> list[float]:
        try:
            values = list(reward(ids, [text.strip() for text in texts], token_ids))
        except Exception as error:  # a user's function may raise anything
            raise TrainingError(f"The reward {name} raised {type(error).__name__}: {error}") from error
        if len(values) != len(texts):
            raise TrainingError(f"The reward {name} returned {len(values)} numbers for {len(texts)} answers.")
        return [_number(name, *pair) for pair in zip(values, texts, strict=True)]

    return checked


def _number(name: str, value: Any, text: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise TrainingError(
            f"The reward {name} returned {value!r:.60} for the answer {text!r:.80}, expected a finite number."
        )
    return number


def _found(name: str, checker: AnswerChecker | None, prompts: Mapping[str, str]) -> Callable[..., Sequence[Any]]:
    if name == FACTS:
        if checker is None:
            raise DataError(f"algorithm.reward: found facts, which knows the microworld only, expected of {REWARDS}.")
        return lambda ids, texts, _: [_is_right(checker, *one) for one in zip(ids, texts, strict=True)]
    if name.startswith(REWARD_MODEL):
        from ldyn.answers.reward_model import reward_model

        score = reward_model(name.removeprefix(REWARD_MODEL))
        return lambda ids, texts, _: [score(prompts[key], text) for key, text in zip(ids, texts, strict=True)]
    function = _user_function(name)
    return lambda ids, texts, token_ids: function(
        prompts=[prompts[key] for key in ids],
        completions=list(texts),
        completion_ids=[list(tokens) for tokens in token_ids],
        example_id=list(ids),
    )


def _is_right(checker: AnswerChecker, example_id: str, text: str) -> float:
    check = checker(example_id, text)
    return float(check.is_right and check.borrowed_from is None)


def _user_function(name: str) -> Callable[..., Any]:
    return user_function(name, ("prompts", "completions", "completion_ids", "example_id"), by_name=True)
