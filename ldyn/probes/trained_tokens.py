"""Compare probes with the tokens of a trainer's own data: is `chosen` what is trained, are test questions unseen?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldyn.errors import DataError
from ldyn.records import EncodedProbeExample

Ids = NDArray[np.int64]


SEQUENCES = (
    ("prompt_ids", "chosen_ids"), ("prompt_ids", "completion_ids"), ("input_ids",), ("chosen_ids",),
    ("chosen_input_ids",),
)  # fmt: skip
"""Columns that are one trained sequence together, as DPO, KTO, SFT, reward, and CPO or ORPO trainers prepare them."""


def compare_with_trained(
    examples: Sequence[EncodedProbeExample], dataset: Any, tokenizer: Any, max_length: int | None
) -> str | None:
    """What differs between the train probes' ``chosen`` and the trained sequences; None where nothing does.

    dataset: as TRL has prepared it; other data sets, streams and packed rows are not compared. Raises DataError where a
    test question is trained on.
    """
    columns = set(getattr(dataset, "column_names", None) or ())
    names = next((names for names in SEQUENCES if set(names) <= columns), None)
    if not hasattr(dataset, "__len__") or "seq_lengths" in columns or names is None:
        return None
    train = [one for one in examples if one.split == "train" and "chosen" in one.responses]
    wanted = {(*one.prompt_ids, *one.responses["chosen"]): one for one in train}
    unseen = {_key(one.prompt_ids): one.example_id for one in examples if one.split == "test"}
    lengths = sorted({len(one.prompt_ids) for one in examples})
    prompts = {_key(one.prompt_ids): one for one in wanted.values()}
    missing = {_key(ids): one for ids, one in wanted.items()}
    trained: set[str] = set()
    like: dict[str, Ids] = {}
    for ids in _sequences(dataset, names, max_length):
        missing.pop(ids.tobytes(), None)
        for length in lengths:
            prompt = ids[:length].tobytes() if length < len(ids) else b""
            if prompt in unseen:
                trained.add(unseen[prompt])
            if prompt in prompts:
                like.setdefault(prompts[prompt].example_id, ids)
    if trained:
        raise DataError(
            f"{len(trained)} of {len(unseen)} test questions are in the training data, so they are not unseen "
            f"({', '.join(sorted(trained)[:3])}). Train on `train_dataset` of the probe set, which lacks them, or "
            "build the set with n_test=0."
        )
    return _difference(list(missing.values()), len(wanted), like, tokenizer) if missing else None


def _difference(missing: list[EncodedProbeExample], number: int, like: dict[str, Ids], tokenizer: Any) -> str:
    first = next((one for one in missing if one.example_id in like), missing[0])
    found = f"{len(missing)} of {number} train probes have a chosen response that is not trained in these tokens"
    if first.example_id not in like:
        return f"{found}: no training row begins with the prompt of {first.example_id}, as the trainer encodes it."
    probed = tokenizer.decode(list(first.responses["chosen"]))
    trained = tokenizer.decode(like[first.example_id][len(first.prompt_ids) :].tolist())
    return f"{found}. {first.example_id}: probed {_ends(probed)}, trained {_ends(trained)}."


def _ends(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:25]} … {text[-30:]}")


def _sequences(dataset: Any, names: tuple[str, ...], max_length: int | None) -> Iterator[Ids]:
    """Prompt and response of every trained row, one array each."""
    for rows in dataset.select_columns(list(names)).with_format(None).iter(1000):
        for parts in zip(*(rows[name] for name in names), strict=True):
            yield np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])[:max_length]


def _key(ids: Sequence[int]) -> bytes:
    return np.asarray(ids, dtype=np.int64).tobytes()
