"""The usual batch: prompt and response in each row, padded on the right, unembedded from the prompt's last token on.

The responses of one example go together, sorted by length, so that rows of a batch differ little and share the columns
whose logits are needed. The statistics are ours, so that the difference to our method is the shared prompt alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel

from ldyn.numerics.token_stats import token_stats
from ldyn.probes.engine import Tokens, automatic_tokens
from ldyn.records import EncodedProbeExample

Response = tuple[int, ...]


@torch.no_grad()
def score_padded(
    model: PreTrainedModel, examples: Sequence[EncodedProbeExample], token_budget: Tokens, pad_id: int
) -> list[float]:
    """log π(y|x) of every response, in order; at most ``token_budget`` tokens a batch, padding included."""
    logps = []
    for example in examples:
        responses = list(example.responses.values())
        tokens = automatic_tokens(model) if token_budget == "auto" else token_budget
        of_number: dict[int, float] = {}
        for numbers in padded_batches(example, tokens):
            scored = _score_batch(model, example.prompt_ids, [responses[number] for number in numbers], pad_id)
            of_number.update(zip(numbers, scored, strict=True))
        logps += [of_number[number] for number in range(len(responses))]
    return logps


def padded_batches(example: EncodedProbeExample, token_budget: int) -> Iterator[list[int]]:
    """The numbers of an example's responses, longest first, in batches within the budget (or of a single response)."""
    lengths = [len(response) for response in example.responses.values()]
    batch: list[int] = []
    width = 0
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if batch and (len(batch) + 1) * width > token_budget:
            yield batch
            batch = []
        if not batch:
            width = len(example.prompt_ids) + lengths[number]
        batch.append(number)
    yield batch


def _score_batch(
    model: PreTrainedModel, prompt: tuple[int, ...], responses: Sequence[Response], pad_id: int
) -> list[float]:
    longest = max(map(len, responses))
    rows = [[*prompt, *response, *[pad_id] * (longest - len(response))] for response in responses]
    attended = [[1] * (len(prompt) + len(r)) + [0] * (longest - len(r)) for r in responses]
    logits = model(
        input_ids=torch.tensor(rows, device=model.device),
        attention_mask=torch.tensor(attended, device=model.device),
        logits_to_keep=torch.arange(len(prompt) - 1, len(prompt) + longest - 1, device=model.device),
        use_cache=False,
    ).logits  # [B, longest, V]: column c predicts response token c
    needed = [row * longest + column for row, response in enumerate(responses) for column in range(len(response))]
    labels = torch.tensor([token for response in responses for token in response], device=logits.device)
    stats = token_stats(logits.flatten(0, 1), labels, rows=torch.tensor(needed, device=logits.device))
    return [float(part.double().sum()) for part in stats.logp.split([len(response) for response in responses])]
