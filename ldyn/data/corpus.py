"""The pretraining corpus of a from-scratch base: fluent text without anything that is later trained on or observed.

- Of a training pair its question only, never one of its answers, so that y+ is unlearned when finetuning starts.
- Of training rows that are not pairs the question with each of its answers.
- No row whose question is a pair's or a test question's, and no document one of whose turns is the chosen or rejected
  answer of a pair or of a test question: in HH one row's prompt may continue the dialogue of another row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ldyn.data.text import normal_prompt, normal_response, question_key
from ldyn.records import PreferencePair, ProbeExample

_ANSWER_CUE = "Assistant:"
_SPEAKER = re.compile(r"(?:^|\n)\s*(?:Human|Assistant|System):")


def corpus_documents(
    pairs: Sequence[PreferencePair],
    unseen: Sequence[ProbeExample],
    others: Iterable[tuple[str, Sequence[str]]],
    separator: str,
    counts: Counter[str],
) -> list[str]:
    """The documents, by the rules above; ``others`` are prompts with their answers. Counts what is excluded."""
    questions = {question_key(pair.prompt) for pair in pairs} | {question_key(example.prompt) for example in unseen}
    observed = {normal_response(text) for text in _observed_answers(pairs, unseen)}
    documents: list[str] = []
    for document, turns in _candidates(pairs, others, questions, separator, counts):
        if observed.isdisjoint(turns):
            documents.append(document)
        else:
            counts["corpus.dropped_observed_answer"] += 1
    return documents


def _observed_answers(pairs: Iterable[PreferencePair], unseen: Iterable[ProbeExample]) -> Iterator[str]:
    for pair in pairs:
        yield from (pair.chosen, pair.rejected)
    for example in unseen:
        yield from (example.responses[key] for key in ("chosen", "rejected") if key in example.responses)


def _candidates(
    pairs: Iterable[PreferencePair],
    others: Iterable[tuple[str, Sequence[str]]],
    questions: set[str],
    separator: str,
    counts: Counter[str],
) -> Iterator[tuple[str, list[str]]]:
    """Each document with its turns."""
    for pair in pairs:
        yield _question_only(pair.prompt), _turns(pair.prompt)
    for prompt, answers in others:
        if question_key(prompt) in questions:
            counts["corpus.dropped_observed_question"] += 1
            continue
        for answer in filter(None, map(normal_response, answers)):
            yield normal_prompt(prompt) + separator + answer, [*_turns(prompt), answer]


def _question_only(prompt: str) -> str:
    """The prompt without the cue for an answer, so that no document teaches that an answer may be nothing."""
    return normal_prompt(normal_prompt(prompt).removesuffix(_ANSWER_CUE))


def _turns(prompt: str) -> list[str]:
    return [normal_response(turn) for turn in _SPEAKER.split(prompt)]
