"""Probes for a training script: questions with their responses, in the tokens in which TRL trains on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ldyn.data.local_files import FilesConfig, load_files
from ldyn.data.seeding import draw, seeded_random
from ldyn.data.text import question_key
from ldyn.errors import DataError
from ldyn.probes.builder import ProbesConfig, build_probes
from ldyn.records import EncodedProbeExample, PreferenceData, PreferencePair, ProbeExample, Turn

Families = Literal["all"] | tuple[str, ...]
FORMS = "prompt, chosen and rejected; or chosen and rejected; or prompt and completion"


@dataclass(frozen=True)
class ProbeSet:
    """Probe examples by split. "train": questions that are trained; "test": unseen ones.

    train_dataset: a ``datasets.Dataset`` without the unseen questions, for the trainer. counts: made or dropped.
    """

    examples: Mapping[str, tuple[ProbeExample, ...]]
    train_dataset: Any
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_pairs(
        cls, dataset: Any, *, n_train: int = 100, n_test: int = 50, families: Families = "all", seed: int = 0
    ) -> ProbeSet:
        """From a ``datasets.Dataset`` (or a list of rows) in one of TRL's formats: texts, or messages for a chat model.

        Columns: prompt, chosen, rejected; or chosen and rejected that begin with the prompt; or prompt and completion.
        ``n_test`` questions are held out: train on ``train_dataset``. ``families``: as `ldyn train` has them in
        probes.families; "all" adds irrelevant answers and shuffled words. Raises DataError for other columns and for
        too few questions.
        """
        dataset = _as_dataset(dataset)
        rows = [(number, _pair(number, row)) for number, row in enumerate(_with_prompts(dataset))]
        usable = [(number, pair) for number, pair in rows if pair is not None and pair.chosen.strip()]
        questions = {question_key(pair.prompt): pair for _, pair in reversed(usable)}
        if n_test and n_test >= len(questions):
            raise DataError(f"n_test: found {n_test} for {len(questions)} different questions; expected fewer.")
        held_out, _ = draw(sorted(questions), n_test, seeded_random(seed, "held out"))
        unseen = set(held_out)
        train = [(number, pair) for number, pair in usable if question_key(pair.prompt) not in unseen]
        data = PreferenceData(
            "the dataset",
            [pair for _, pair in train],
            {"train": _examples(pair for _, pair in train), "test": _examples(questions[key] for key in held_out)},
        )
        built = build_probes(data, ProbesConfig(n_train=n_train, n_test=n_test, families=families), seed)
        unusable = {"unusable_rows": len(rows) - len(usable)} if len(rows) > len(usable) else {}
        seen = [number for number, pair in rows if pair is None or question_key(pair.prompt) not in unseen]
        return cls(built.examples, dataset.select(seen) if unseen else dataset, {**built.counts, **unusable})

    @classmethod
    def from_path(
        cls, path: str | Path, *, n_train: int = 100, n_test: int = 50, families: Families = "all", seed: int = 0
    ) -> ProbeSet:
        """From a CSV, JSONL or Parquet file of pairs, or a directory that `ldyn probes` has written.

        Without a test file unseen questions are held out. ``train_dataset`` has the training pairs.
        """
        data = load_files(FilesConfig(str(path)), seed)
        built = build_probes(data, ProbesConfig(n_train=n_train, n_test=n_test, families=families), seed)
        return cls(built.examples, _as_dataset([_as_row(pair) for pair in data.pairs]), {**data.counts, **built.counts})

    def encoded(
        self, tokenizer: Any, *, together: bool = False, max_length: int | None = None
    ) -> tuple[list[EncodedProbeExample], Counter[str]]:
        """The examples in the tokens in which TRL trains on them, and what was dropped, by reason.

        Prompt and response are encoded together, by the chat template where the prompt is a conversation, and divided
        where they stop to agree with the prompt alone. together: one division for chosen and rejected, as DPO has it.
        A text without the template gets the end token. ``max_length``: prompt and response are cut to it.
        """
        dropped: Counter[str] = Counter()
        encoded = []
        for split, members in self.examples.items():
            for example in members:
                one = _encoded(split, example, tokenizer, together, max_length, dropped)
                if one.responses:
                    encoded.append(one)
        return encoded, dropped


def _encoded(
    split: str, example: ProbeExample, tokenizer: Any, together: bool, max_length: int | None, dropped: Counter[str]
) -> EncodedProbeExample:
    from trl.data_utils import _tokenize, common_prefix_length  # what its trainers call, so the tokens are theirs

    prompt: Any = [turn._asdict() for turn in example.turns] or example.prompt
    alone = _tokenize(tokenizer, prompt, **({"add_generation_prompt": True} if example.turns else {}))["input_ids"]
    whole = {
        probe: _tokenize(tokenizer, prompt + _completion(text, bool(example.turns), tokenizer))["input_ids"]
        for probe, text in example.responses.items()
    }
    sides = [whole[side] for side in (("chosen", "rejected") if together else ("chosen",)) if side in whole]
    cut = min((common_prefix_length(alone, ids) for ids in sides), default=len(alone))
    responses = {}
    for probe, ids in whole.items():
        response = tuple(ids[cut:max_length])
        if ids[:cut] != alone[:cut]:
            dropped[f"{split}.changes_the_prompts_tokens.{probe}"] += 1
        elif not response or not cut:
            dropped[f"{split}.no_token_left.{probe}"] += 1
        else:
            responses[probe] = response
    return EncodedProbeExample(split, example.example_id, tuple(alone[:cut]), responses)


def _completion(text: str, is_chat: bool, tokenizer: Any) -> Any:
    if is_chat:
        return [{"role": "assistant", "content": text}]
    end = getattr(tokenizer, "eos_token", None) or ""
    return text if text.endswith(end) else text + end


def _as_dataset(dataset: Any) -> Any:
    from datasets import Dataset, DatasetDict, IterableDataset

    if isinstance(dataset, DatasetDict):
        raise DataError(f"The data set has the splits {', '.join(dataset)}; pass one of them, as dataset['train'].")
    if isinstance(dataset, IterableDataset):
        raise DataError("Found a streamed data set; probes are drawn from all rows, so load it without streaming.")
    if isinstance(dataset, Sequence):
        dataset = Dataset.from_list(list(dataset))
    columns = set(dataset.column_names)
    if not {"chosen", "rejected"} <= columns and not {"prompt", "completion"} <= columns:
        raise DataError(f"Found the columns {', '.join(dataset.column_names)}; expected {FORMS}. Rename the columns.")
    return dataset


def _with_prompts(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """The rows with an explicit prompt; the response is chosen, or rejected where a label says so."""
    from trl.data_utils import extract_prompt

    columns = [name for name in ("prompt", "chosen", "rejected", "completion", "label") if name in dataset.column_names]
    for row in dataset.select_columns(columns):
        if "completion" in row and "chosen" not in row:
            yield {"prompt": row["prompt"], "chosen": row["completion"] if row.get("label", True) else None}
        else:
            yield row if "prompt" in row else extract_prompt(row)


def _pair(number: int, row: Mapping[str, Any]) -> PreferencePair | None:
    """None for a row whose answers are no texts and no single messages of the assistant."""
    prompt, answers = row["prompt"], [_answer(row.get(side)) for side in ("chosen", "rejected")]
    if answers[0] is None or not prompt:
        return None
    turns: tuple[Turn, ...] = ()
    if not isinstance(prompt, str):
        turns = tuple(Turn(message["role"], message["content"]) for message in prompt)
        prompt = "\n".join(f"{turn.role}: {turn.content}" for turn in turns)
    return PreferencePair(f"row-{number}", prompt, answers[0], answers[1] or "", turns)


def _answer(value: Any) -> str | None:
    if isinstance(value, list):
        value = value[0]["content"] if len(value) == 1 and value[0]["role"] == "assistant" else None
    return value if isinstance(value, str) else None


def _examples(pairs: Iterator[PreferencePair] | Any) -> tuple[ProbeExample, ...]:
    found = []
    for pair in pairs:
        responses = {"chosen": pair.chosen} | ({"rejected": pair.rejected} if pair.rejected.strip() else {})
        found.append(ProbeExample(pair.pair_id, pair.prompt, responses, pair.turns))
    return tuple(found)


def _as_row(pair: PreferencePair) -> dict[str, Any]:
    if not pair.turns:
        return {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    sides = {
        side: [{"role": "assistant", "content": text}]
        for side, text in (("chosen", pair.chosen), ("rejected", pair.rejected))
    }
    return {"prompt": [turn._asdict() for turn in pair.turns], **sides}
