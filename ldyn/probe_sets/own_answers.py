"""The answers that the model to be finetuned gives itself, before any finetuning (y_π)."""

from __future__ import annotations

from collections import Counter

from torch import nn

from ldyn.answers.chats import REFUSED, AnswerCache, ChatAnswer, Progress
from ldyn.answers.local_models import CachedAnswers, PromptRequest, find_device
from ldyn.data.encoder import Encoder
from ldyn.data.seeding import seeded_random
from ldyn.errors import ConfigError
from ldyn.models.base import fingerprint
from ldyn.probe_sets.examples import Examples
from ldyn.probe_sets.settings import OWN_ANSWER, BuildRequest, OwnAnswerConfig
from ldyn.probes.builder import with_model_answers
from ldyn.records import ProbeExample
from ldyn.run.stored_models import StoredModel, find_models


def one_model(word: str, option: str) -> StoredModel:
    """The one model of this name. Raises an LdynError where there is none, or several."""
    found = find_models([word])
    if len(found) != 1:
        names = ", ".join(one.name for one in found)
        raise ConfigError([f"{option}: found {word!r}, a run with several models, expected one of {names}"])
    return found[0]


def lacking(examples: Examples) -> list[tuple[str, ProbeExample]]:
    """(split, example) of those without an own answer."""
    return [(split, one) for split, members in examples.items() for one in members if OWN_ANSWER not in one.responses]


def with_own_answers(
    examples: Examples, config: OwnAnswerConfig, request: BuildRequest, cache: AnswerCache, progress: Progress
) -> tuple[Examples, str, Counter[str]]:
    """Let the model answer every question that lacks an own answer; blank answers are skipped and counted.

    Returns the examples with the answers and their token ids, the fingerprint of the model, and counts. Raises an
    LdynError where the model cannot be loaded.
    """
    model, tokenizer = one_model(config.who, "own_answer.who").load()
    nn.Module.to(model, find_device(request.device))
    weights, asked = fingerprint(model, tokenizer), lacking(examples)
    encoder = Encoder(tokenizer, request.dataset.encoding)
    length = config.max_new_tokens or request.dataset.encoding.max_response_tokens
    draw = seeded_random(request.seed, "own answer").getrandbits(31)
    temperature, top_p, draw = (0.0, 1.0, 0) if config.mode == "greedy" else (config.temperature, config.top_p, draw)
    requests = [
        PromptRequest(encoder.prompt(one.prompt, one.turns), length, temperature, top_p, config.stop, draw)
        for _, one in asked
    ]
    answering = CachedAnswers(model, tokenizer, weights, cache, progress, config.batch_size)
    rows = [(split, one.example_id) for split, one in asked]
    answers = dict(zip(rows, answering.answer(requests), strict=True))
    counts = Counter(f"{split}.{_outcome(answer)}.{OWN_ANSWER}" for (split, _), answer in answers.items())
    completed = {}
    for split, members in examples.items():
        of_split = {one: answer for (other, one), answer in answers.items() if other == split}
        texts, ids = ({one: getattr(a, name) for one, a in of_split.items()} for name in ("text", "token_ids"))
        completed[split] = with_model_answers(members, OWN_ANSWER, texts, ids)
    return completed, weights, counts


def _outcome(answer: ChatAnswer) -> str:
    if answer.finish == REFUSED:
        return "dropped.refused"
    if not answer.text.strip():
        return "dropped.empty"
    return "answered" if answer.finish == "stop" else "answered_to_the_limit"
