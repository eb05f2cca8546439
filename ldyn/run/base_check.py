"""Whether a base that was pretrained in the run has learned the language of the data, before hours go into training."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

from ldyn.models.settings import TinyConfig
from ldyn.probes.engine import TokenBudget
from ldyn.probes.scorer import score_probes
from ldyn.processes.group import in_main
from ldyn.run.preparation import Prepared
from ldyn.run.session import Session


def note_weak_base(model: TinyConfig, prepared: Prepared, session: Session) -> None:
    """Print, and keep in the manifest for the report, that the base assigns unseen answers less than chance."""
    logp, uniform = heldout_logp(prepared), -math.log(prepared.base.model.config.vocab_size)
    if logp > uniform:
        return
    note = (
        f"The base model, pretrained on {len(prepared.data.corpus):,} texts in {model.steps:,} updates, assigns unseen "
        f"answers {logp:.2f} nats per token; a uniform guess over its vocabulary has {uniform:.2f}. It knows no "
        "language, so this run shows how such a model memorizes, not how finetuning moves a language model. Use "
        "model=smollm2_135m_instruct (+exp=hh), or give it more rows."
    )
    in_main(lambda: print(f"ldyn: {note}", file=sys.stderr))
    session.manifest.update(notes=[note])


def heldout_logp(prepared: Prepared) -> float:
    """Mean log π per token of y⁺ of the unseen questions (of the training questions where there are none), in nats."""
    answers = [
        replace(example, responses={"chosen": example.responses["chosen"]})
        for example in prepared.encoded
        if "chosen" in example.responses
    ]
    unseen = [example for example in answers if example.split == "test"]
    budget, pad_id = TokenBudget("auto"), prepared.base.tokenizer.pad_token_id
    scores = score_probes(prepared.base.model, unseen or answers, token_budget=budget, pad_id=pad_id)
    return sum(score.logp for score in scores) / max(1, sum(score.n_tokens for score in scores))
