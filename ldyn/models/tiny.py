"""The tiny base: a GPT-NeoX of about a million parameters, pretrained from scratch on a data set's corpus."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import cross_entropy
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from ldyn.errors import ModelError
from ldyn.models.settings import TinyConfig


def build_tiny_model(config: TinyConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> GPTNeoXForCausalLM:
    """The untrained model in float32, without dropout. Its weights depend on the seed alone."""
    architecture = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.hidden_size,
        max_position_embeddings=config.max_positions,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attention_dropout=0.0,
        hidden_dropout=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTNeoXForCausalLM(architecture)


def pretrain(
    model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, corpus: Sequence[str], config: TinyConfig, seed: int
) -> float:
    """Train the model in place by next-token prediction; return the mean loss of the last tenth, in nats per token."""
    rows = pack_documents(tokenizer, corpus, config.sequence_length + 1)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, config))
    batches = shuffled_batches(rows, config.batch_size, seed)
    losses: list[float] = []
    model.train()
    print(f"base: pretraining for {config.steps} steps; later runs take it from the cache", file=sys.stderr)
    for step in range(config.steps):
        if step and step % max(1, config.steps // 10) == 0:
            print(f"base: pretraining {step}/{config.steps}", file=sys.stderr, flush=True)
        losses.append(_update(model, next(batches), optimizer, config.max_grad_norm))
        schedule.step()
    model.eval()
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last) if last else math.nan


def pack_documents(tokenizer: PreTrainedTokenizerFast, corpus: Sequence[str], length: int) -> torch.Tensor:
    """Rows [n, length] of token ids. Each row starts with a document, as every prompt does later; EOS separates
    documents, and the end of the last one is cut. Only a document longer than a row continues in the next.

    Raises ModelError when the corpus does not fill one row.
    """
    rows: list[list[int]] = []
    row: list[int] = []
    for ids in tokenizer(list(corpus), add_special_tokens=False)["input_ids"]:
        row = [*row, *ids, tokenizer.eos_token_id]
        while len(row) >= length:
            rows.append(row[:length])
            row = row[length:] if len(ids) >= length else []
    if not rows:
        raise ModelError(
            f"The corpus of {len(corpus)} documents does not fill one row of {length} tokens; "
            "give more text or a smaller model.sequence_length."
        )
    return torch.tensor(rows)


def shuffled_batches(rows: torch.Tensor, batch_size: int, seed: int) -> Iterator[torch.Tensor]:
    """Batches [batch_size, length] without end; every row once in each pass, in an order that the seed decides."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    while True:
        while len(order) < batch_size:
            order = torch.cat([order, torch.randperm(len(rows), generator=generator)])
        yield rows[order[:batch_size]]
        order = order[batch_size:]


def learning_rate_factor(step: int, config: TinyConfig) -> float:
    """Linear warm-up, then a cosine down to ``final_learning_rate``."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    floor = config.final_learning_rate
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _update(
    model: GPTNeoXForCausalLM, batch: torch.Tensor, optimizer: torch.optim.Optimizer, max_grad_norm: float
) -> float:
    logits = model(batch[:, :-1]).logits  # [batch, length - 1, vocabulary]
    loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    if not torch.isfinite(loss):
        raise ModelError("The pretraining loss is not finite; lower model.learning_rate.")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return loss.item()
