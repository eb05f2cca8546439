"""The body of `ldyn generate`: which models answer which prompts, and how the answers are measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from ldyn import __version__
from ldyn.answers.generation import Decoding, Sampling
from ldyn.answers.samples import sample_prompts, sample_rows
from ldyn.answers.settings import GenerateConfig
from ldyn.data.encoder import Encoder
from ldyn.data.local_files import probe_files, read_row_files
from ldyn.data.rows import without_blanks
from ldyn.data.seeding import seeded_random
from ldyn.data.sources import load_data
from ldyn.errors import ConfigError, DataError, RunDirectoryError
from ldyn.models.base import find_device
from ldyn.probes.builder import build_probes
from ldyn.processes.group import quiet_libraries
from ldyn.records import AnswerChecker, ProbeExample
from ldyn.run.score_models import encoding_for
from ldyn.run.stored_models import StoredModel, StoredRun, find_models
from ldyn.store.files import json_lines, write_atomically

SAMPLES_FILE = "samples.jsonl"
SETTINGS_FILE = "settings.json"
DEFAULT_LENGTH = 128


@dataclass(frozen=True)
class Questions:
    """Split -> examples, and what checks the facts of their answers."""

    examples: Mapping[str, Sequence[ProbeExample]]
    checker: AnswerChecker | None


def generate(config: GenerateConfig, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Ask every model, write samples.jsonl into ``config.out`` after each, and return its rows.

    ``report`` gets a line after each model. Raises an LdynError before any weight is loaded where prompts are missing.
    """
    if (config.out / SAMPLES_FILE).exists() and not config.overwrite:
        raise RunDirectoryError(f"{config.out / SAMPLES_FILE} exists already; set another out, or overwrite=true.")
    quiet_libraries()
    models = find_models(config.models)
    questions = _chosen_part(_questions(config, models), config)
    settings = json.dumps({"ldyn": __version__, **asdict(config)}, indent=1, default=str) + "\n"
    write_atomically(config.out / SETTINGS_FILE, settings.encode())
    rows: list[dict[str, Any]] = []
    for model in models:
        answers = list(_answers(model, questions, config))
        rows += answers
        report(f"{model.name}: {len(answers)} answers")
        write_atomically(config.out / SAMPLES_FILE, json_lines(rows))
    return rows


def _answers(stored: StoredModel, questions: Questions, config: GenerateConfig) -> Iterator[dict[str, Any]]:
    model, tokenizer = stored.load()
    nn.Module.to(model, find_device(config.device))
    run = stored.run
    encoding = encoding_for(model, config.max_prompt_tokens) if run is None else run.config.dataset.encoding
    encoder = Encoder(tokenizer, encoding)
    prompts = [one for split, members in questions.examples.items() for one in sample_prompts(split, members, encoder)]
    length = config.max_new_tokens or (DEFAULT_LENGTH if run is None else run.config.samples.max_new_tokens)
    drawn = Sampling(config.temperature, config.top_p, seeded_random(config.seed, "generate").getrandbits(31))
    for mode in config.mode:
        decoding = Decoding(length, drawn if mode == "sampled" else None, config.batch_size)
        yield from sample_rows(model, tokenizer, prompts, decoding, stage=stored.stage, checker=questions.checker)


# --------------------------------------------------------------------------------------------------------------
# The prompts


def _questions(config: GenerateConfig, models: Sequence[StoredModel]) -> Questions:
    runs = [one.run for one in models if one.run is not None]
    if config.prompts is not None:
        read = read_row_files(probe_files(config.prompts))
        asked = {part.split: [without_blanks(row) for row in part.rows if row.prompt.strip()] for part in read}
        return Questions(asked, None)
    if not runs:
        raise ConfigError([f"prompts: found none, as {config.models[0]} is no run; set prompts=FILE"])
    _check_same_questions(runs)
    data = load_data(runs[0].config.dataset, runs[0].config.seed)
    probes = build_probes(data, runs[0].config.probes, runs[0].config.seed)
    return Questions(probes.examples, data.checker)


def _check_same_questions(runs: Sequence[StoredRun]) -> None:
    first = runs[0].config
    for run in runs[1:]:
        other = run.config
        if (other.dataset, other.seed, other.probes) != (first.dataset, first.seed, first.probes):
            raise DataError(
                f"The runs {runs[0].path} and {run.path} have different questions (dataset, seed or probes differ); "
                "set prompts=FILE, or generate for one run at a time."
            )


def _chosen_part(questions: Questions, config: GenerateConfig) -> Questions:
    splits = questions.examples if config.split is None else config.split
    unknown = [split for split in splits if split not in questions.examples]
    if unknown:
        raise DataError(f"There is no split {unknown[0]!r}; the prompts have {', '.join(questions.examples)}.")
    examples = {split: questions.examples[split][: config.examples] for split in splits}
    if not any(examples.values()):
        raise DataError("There is no prompt to answer; expected rows with a prompt that is not blank.")
    return Questions(examples, questions.checker)
