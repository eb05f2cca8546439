"""The pretraining corpus of a from-scratch base: fluent text without anything that is later trained on or observed.

- Of a training pair its question only, never one of its answers, so that y+ is unlearned when finetuning starts.
- Of training rows that are not pairs the question with each of its answers.
- No row whose question is a pair's or a test question's, and no document one of whose turns is the chosen or rejected
  answer of a pair or of a test question: in HH one row's prompt may continue the dialogue of another row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ldyn.data.text import normal_prompt, normal_response, question_key
from ldyn.records import ProbeExample

_ANSWER_CUE = "Assistant:"
_SPEAKER = re.compile(r"(?:^|\n)\s*(?:Human|Assistant|System):")
_SIDES = ("chosen", "rejected")


def corpus_documents(
    paired: Sequence[ProbeExample],
    unseen: Sequence[ProbeExample],
    others: Sequence[ProbeExample],
    separator: str,
    counts: Counter[str],
) -> list[str]:
    """The documents, by the rules above; ``others`` are training rows that are no pairs. Counts what is excluded."""
    watched = [*paired, *unseen]
    questions = {question_key(row.prompt) for row in watched}
    observed = {normal_response(row.responses[key]) for row in watched for key in _SIDES if key in row.responses}
    rest = [row for row in others if question_key(row.prompt) not in questions]
    counts["corpus.dropped_observed_question"] += len(others) - len(rest)
    candidates = [(_question_only(row.prompt), _turns(row.prompt)) for row in paired]
    candidates += [
        (normal_prompt(row.prompt) + separator + answer, [*_turns(row.prompt), answer])
        for row in rest
        for answer in (normal_response(row.responses[key]) for key in _SIDES)
    ]
    documents = [document for document, turns in candidates if observed.isdisjoint(turns)]
    counts["corpus.dropped_observed_answer"] += len(candidates) - len(documents)
    return documents


def _question_only(prompt: str) -> str:
    """The prompt without the cue for an answer, so that no document teaches that an answer may be nothing."""
    return normal_prompt(normal_prompt(prompt).removesuffix(_ANSWER_CUE))


def _turns(prompt: str) -> list[str]:
    return [normal_response(turn) for turn in _SPEAKER.split(prompt)]
