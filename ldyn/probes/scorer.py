"""Score how a model sees each response of each probe example, teacher-forced.

A function of (model, examples): it draws no random number, keeps no gradient, and leaves the model as it found it. The
statistics and their formulas are in ``ldyn.numerics.token_stats``.

Under ``torch.distributed`` every process must call with the same examples; each scores its share and gets all results,
see ``ldyn.processes.group``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

from torch import nn
from transformers import PreTrainedModel

from ldyn.errors import DataError
from ldyn.models.base import max_positions, too_long
from ldyn.models.evaluation import evaluation_mode, unwrapped
from ldyn.models.packed_forward import rule_size, warn_once, why_plain
from ldyn.models.packing import split
from ldyn.probes.engine import Engine, TokenBudget, Tokens
from ldyn.probes.rows import ResponseKey, plan_rows, single_rows
from ldyn.processes.group import gathered, own_share
from ldyn.records import EncodedProbeExample, ProbeScore

Examples = Sequence[EncodedProbeExample]


def score_probes(
    model: nn.Module, examples: Examples, *, token_budget: Tokens | TokenBudget, pad_id: int
) -> list[ProbeScore]:
    """Score every response of every example: one ProbeScore each, in the order of ``examples`` and their responses.

    ``model``: a causal language model of transformers, also inside PEFT's (LoRA), DDP's or FSDP's wrapper.
    ``token_budget`` bounds the tokens of one forward pass, padding included (a single response with its prompt may
    exceed it), and the logits that live at a time; it changes speed and memory, not the scores beyond rounding. When
    memory runs out it is halved; a TokenBudget remembers that for the next call. ``pad_id`` fills gaps that nothing
    sees. Statistics are in float32 whatever the model's dtype (float64 for a float64 model), their sums in float64.
    A response on which a logit is not finite keeps its place, with NaN for every number.
    Raises DataError for examples that the model cannot take, before any forward pass; ModelError for a response that
    does not fit into memory alone. Warns, once, where a model must be scored one response at a time.
    """
    inner = unwrapped(model)
    check_examples(inner, examples)
    alone = single_rows(examples, range(len(examples)))
    if not alone:
        return []
    if reason := why_plain(inner, max(row.n_tokens for row in alone)):
        warn_once(f"Responses are scored one by one, which takes longer and gives the same scores: {reason}.")
    engine = Engine(
        model=inner,
        budget=token_budget if isinstance(token_budget, TokenBudget) else TokenBudget(token_budget),
        pad_id=pad_id,
        plain=bool(reason),
        examples=examples,
        idle_row=min(alone, key=lambda row: row.n_tokens),
    )
    with evaluation_mode(model):
        scored = gathered(functools.partial(_score_share, engine))
    return [scored[index, probe] for index, example in enumerate(examples) for probe in example.responses]


def _score_share(engine: Engine) -> dict[ResponseKey, ProbeScore]:
    examples = engine.examples
    share = own_share(len(examples))
    if engine.plain:
        return engine.score(single_rows(examples, share))
    tokens = engine.budget.tokens(engine.model)
    rows = plan_rows(examples, hidden_size=rule_size(engine.model), token_budget=tokens, indices=share)
    scored = engine.score(rows)
    # A NaN value reaches a masked-out neighbour all the same (0 · NaN): score again, alone, what shared its row.
    flagged = {key for key, one in scored.items() if math.isnan(one.entropy)}
    scored.update(engine.score([part for part in split(rows) if part.keys[0] in flagged]))
    return scored


_FAULTS_SHOWN = 10


def check_examples(model: PreTrainedModel, examples: Sequence[EncodedProbeExample]) -> None:
    """Raise DataError, listing the first faults, for what the model cannot score; see ``_faults``."""
    config = model.config.get_text_config()
    room = max_positions(model)
    faults = [fault for example in examples for fault in _faults(example, config.vocab_size, room)]
    if faults:
        shown = "\n".join(f"  - {fault}" for fault in faults[:_FAULTS_SHOWN])
        raise DataError(f"{len(faults)} probe responses cannot be scored:\n{shown}")


def _faults(example: EncodedProbeExample, vocabulary_size: int, room: float) -> Iterator[str]:
    """An empty prompt or response, a token outside the vocabulary, more tokens than the model takes."""
    where = f"{example.split} example {example.example_id!r}"
    if not example.prompt_ids:
        yield f"{where}: the prompt has no token; the first response token would have nothing to be predicted from"
    for probe, response in example.responses.items():
        ids = (*example.prompt_ids, *response)
        if not response:
            yield f"{where}, probe {probe!r}: no token is left of the response; drop it or raise the token limits"
        elif min(ids) < 0 or max(ids) >= vocabulary_size:
            found = next(token for token in ids if not 0 <= token < vocabulary_size)
            yield f"{where}, probe {probe!r}: token id {found} is outside the model's vocabulary of {vocabulary_size}"
        elif len(ids) > room:
            yield f"{where}, probe {probe!r}: {too_long(len(ids), room)}"
