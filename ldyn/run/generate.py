"""`ldyn generate`, top to bottom: who is asked, what, under which rules, and how the answers are measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ldyn import __version__
from ldyn.answers.answers import BATCH_SIZE, Sampling
from ldyn.answers.overlap import TrainingAnswers
from ldyn.answers.samples import Decoding, SamplePrompt, sample_rows
from ldyn.data.encoder import Encoder, EncodingConfig
from ldyn.data.layouts import Row
from ldyn.data.local_files import probe_files, read_row_files
from ldyn.data.seeding import seeded_random
from ldyn.data.sources import load_data
from ldyn.errors import ConfigError, DataError
from ldyn.probes.builder import build_probes
from ldyn.processes.group import quiet_libraries
from ldyn.records import AnswerChecker, PreferencePair, ProbeExample
from ldyn.run.score_file import Device, TokenLimits, find_device
from ldyn.run.stored_models import StoredModel, StoredRun, find_models
from ldyn.store.files import write_atomically

SAMPLES_FILE = "samples.jsonl"
SETTINGS_FILE = "settings.json"
"""What was asked for, beside the answers."""


@dataclass(frozen=True)
class Request:
    """What `ldyn generate` was asked for.

    who: see ``find_models``. prompts: a file of rows with a prompt; None: the probes of the first run.
    training: rows whose chosen answers are trained on, for the overlap; None: the pairs of the first run.
    splits, examples: which of the prompts; the first ``examples`` of each split (None: all).
    modes: "greedy", "sampled" or both, ``decodings`` says how. max_prompt_tokens: for models that come from no run.
    """

    who: tuple[str, ...]
    out: Path
    prompts: Path | None = None
    training: Path | None = None
    splits: tuple[str, ...] | None = None
    examples: int | None = None
    modes: tuple[str, ...] = ("greedy", "sampled")
    max_new_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    batch_size: int = BATCH_SIZE
    max_prompt_tokens: int | None = None
    device: Device = "auto"

    def decodings(self, default_length: int) -> list[Decoding]:
        """How each prompt is answered, once for each mode; draws are seeded."""
        seed = seeded_random(self.seed, "generate").getrandbits(31)
        drawn = Sampling(self.temperature, self.top_p, seed)
        length = self.max_new_tokens or default_length
        return [
            Decoding(length, drawn if mode == "sampled" else None, self.stop, self.batch_size) for mode in self.modes
        ]


@dataclass(frozen=True)
class Questions:
    """What is asked: split -> examples (their ``chosen`` and ``rejected`` are their own answers), and what is known."""

    examples: dict[str, Sequence[ProbeExample]]
    pairs: Sequence[PreferencePair]
    checker: AnswerChecker | None


def generate(request: Request, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Ask everyone, write ``samples.jsonl`` into ``request.out`` after each, and return its rows.

    Raises an LdynError before any weight is loaded where the prompts cannot be had.
    """
    quiet_libraries()
    respondents = find_models(request.who)
    questions = _chosen_part(_questions(request, respondents), request)
    write_atomically(request.out / SETTINGS_FILE, _settings(request).encode())
    training = TrainingAnswers(questions.pairs) if questions.pairs else None
    rows: list[dict[str, Any]] = []
    for respondent in respondents:
        answers = list(_answers(respondent, questions, training, request))
        rows += answers
        say(f"{respondent.name}: {len(answers)} answers")
        write_samples(rows, request.out / SAMPLES_FILE)
    return rows


def _settings(request: Request) -> str:
    return json.dumps({"ldyn": __version__, **asdict(request)}, indent=1, default=str) + "\n"


def write_samples(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write rows as JSON lines, atomically."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    write_atomically(path, "".join(lines).encode("utf-8", errors="replace"))


def _answers(
    respondent: StoredModel, questions: Questions, training: TrainingAnswers | None, request: Request
) -> Iterator[dict[str, Any]]:
    model, tokenizer = respondent.load()
    nn.Module.to(model, find_device(request.device))
    encoder = Encoder(tokenizer, _encoding(respondent, model, request))
    prompts = [
        SamplePrompt(split, one.example_id, one.prompt, encoder.prompt(one.prompt, one.turns), _own_answers(one))
        for split, examples in questions.examples.items()
        for one in examples
    ]
    default = 128 if respondent.run is None else respondent.run.config.samples.max_new_tokens
    for decoding in request.decodings(default):
        yield from sample_rows(
            model,
            tokenizer,
            prompts,
            decoding,
            stage=respondent.stage,
            checker=questions.checker,
            training=training,
        )


def _encoding(respondent: StoredModel, model: PreTrainedModel, request: Request) -> EncodingConfig:
    if respondent.run is not None:
        return respondent.run.config.dataset.encoding
    return TokenLimits(request.max_prompt_tokens).encoding(model)


def _own_answers(example: ProbeExample) -> tuple[str, ...]:
    return tuple(example.responses[key] for key in ("chosen", "rejected") if key in example.responses)


# --------------------------------------------------------------------------------------------------------------
# What is asked


def _questions(request: Request, respondents: Sequence[StoredModel]) -> Questions:
    runs = [one.run for one in respondents if one.run is not None]
    if request.prompts is not None:
        return Questions(_examples_of_file(request.prompts), _pairs_of_file(request.training), None)
    if not runs:
        raise ConfigError([f"prompts: found none, as {request.who[0]} is no run; expected --prompts FILE"])
    _check_same_questions(runs)
    data = load_data(runs[0].config.dataset, runs[0].config.seed)
    probes = build_probes(data, runs[0].config.probes, runs[0].config.seed)
    pairs = data.pairs if request.training is None else _pairs_of_file(request.training)
    return Questions(dict(probes.examples), pairs, data.checker)


def _check_same_questions(runs: Sequence[StoredRun]) -> None:
    first = runs[0].config
    for run in runs[1:]:
        other = run.config
        if (other.dataset, other.seed, other.probes) != (first.dataset, first.seed, first.probes):
            raise DataError(
                f"The runs {runs[0].path} and {run.path} have other questions (dataset, seed or probes differ); give "
                "the prompts that both are to answer by --prompts FILE, or generate for each run by itself."
            )


def _chosen_part(questions: Questions, request: Request) -> Questions:
    splits = questions.examples if request.splits is None else request.splits
    unknown = [split for split in splits if split not in questions.examples]
    if unknown:
        raise DataError(f"There is no split {unknown[0]!r}; the prompts have {', '.join(questions.examples)}.")
    examples = {split: questions.examples[split][: request.examples] for split in splits}
    if not any(examples.values()):
        raise DataError("There is no prompt to answer; expected rows with a prompt that is not blank.")
    return Questions(examples, questions.pairs, questions.checker)


def _examples_of_file(path: Path) -> dict[str, Sequence[ProbeExample]]:
    read = read_row_files(probe_files(path))
    return {part.split: [_example(row) for row in part.rows if row.prompt.strip()] for part in read}


def _example(row: Row) -> ProbeExample:
    responses = {key: text for key, text in row.responses.items() if text.strip()}
    return ProbeExample(row.row_id, row.prompt, responses, row.turns)


def _pairs_of_file(path: Path | None) -> list[PreferencePair]:
    if path is None:
        return []
    rows = [row for part in read_row_files(probe_files(path)[:1]) for row in part.rows]
    return [
        PreferencePair(row.row_id, row.prompt, row.responses["chosen"], row.responses.get("rejected", ""), row.turns)
        for row in rows
        if row.responses.get("chosen", "").strip()
    ]
