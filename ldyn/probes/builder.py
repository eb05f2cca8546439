"""Which probe examples are observed: a seeded draw, completed by construction and checked."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from ldyn.data.local_files import RowFile, find_files, read_row_files
from ldyn.data.rows import without_blanks
from ldyn.data.seeding import draw, seeded_random
from ldyn.data.text import normal_prompt, normal_response, question_key
from ldyn.errors import DataError
from ldyn.probes.families import FAMILIES, Completer
from ldyn.probes.schedule import ScheduleConfig
from ldyn.records import PROBE_FAMILIES, PreferenceData, PreferencePair, ProbeExample

AUTOMATIC: Literal["auto"] = "auto"
MODEL_ANSWERS = ("chosen_initial", "chosen_selfr")
_FAULTS_SHOWN = 5


@dataclass(frozen=True)
class ProbesConfig:
    """Which probes are observed.

    path: a directory with probe_train.jsonl and probe_test.jsonl, as `ldyn probes` writes them, whose rows replace the
        data's own probe examples; the training pairs stay those of the data.
    n_train, n_test: at most so many probe examples, drawn by the seed from training pairs and unseen questions.
    families: the probe keys to observe, or "all": those the data has and those that can be made from it.
    on_missing: if some rows lack a family that others have: stop ("error") or skip the response ("drop").
    token_budget: tokens in one forward pass of the scorer, or "auto": the rule is in ``ldyn.probes.engine``. It decides
        speed and memory, not the scores; when memory runs out it is halved.
    schedule: when they are scored.
    """

    path: Path | None = None
    n_train: Annotated[int, Gt(0)] = 500
    n_test: Annotated[int, Ge(0)] = 500
    families: Literal["all"] | tuple[str, ...] = "all"
    on_missing: Literal["error", "drop"] = "error"
    token_budget: Annotated[int, Gt(0)] | Literal["auto"] = AUTOMATIC
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        if not self.families:
            raise ValueError("families: found an empty list, expected all or some probes")
        unknown = [] if self.families == "all" else [name for name in self.families if name not in PROBE_FAMILIES]
        if unknown:
            raise ValueError(f"unknown probes {', '.join(unknown)}; the probes are {', '.join(PROBE_FAMILIES)}")


@dataclass(frozen=True)
class BuiltProbes:
    """The probe examples of a run by split ("train", "test"), and what was counted while they were built."""

    examples: Mapping[str, tuple[ProbeExample, ...]]
    counts: Mapping[str, int]


def build_probes(data: PreferenceData, config: ProbesConfig, seed: int) -> BuiltProbes:
    """Draws the probe examples, completes them by construction and checks them.

    Raises DataError if a family is not available, or is missing from some rows while on_missing is "error" (all such
    families together), if the files of ``path`` do not fit the data, and if the data breaks a promise: see
    `check_probes`.
    """
    data = data if config.path is None else with_probe_files(data, config.path)
    counts: Counter[str] = Counter()
    _check_families(data, config, counts)
    examples: dict[str, tuple[ProbeExample, ...]] = {}
    for split, number in (("train", config.n_train), ("test", config.n_test)):
        drawn, _ = draw(data.probes.get(split, ()), number, seeded_random(seed, "probes", split))
        completer = Completer(
            split,
            wanted=_wanted(data, split, config),
            given=_given(data, split),
            pairs=data.pairs,
            unseen=data.probes.get("test", ()),
            seed=seed,
            counts=counts,
        )
        examples[split] = tuple(completer.complete(example) for example in drawn)
        counts[f"{split}.examples"] = len(drawn)
    check_probes(examples, data.pairs)
    return BuiltProbes(examples, {reason: number for reason, number in counts.items() if number})


def _wanted(data: PreferenceData, split: str, config: ProbesConfig) -> tuple[str, ...]:
    """The probe keys to observe, in the order of PROBE_FAMILIES."""
    wanted = {*_given(data, split), *FAMILIES} if config.families == "all" else set(config.families)
    return tuple(probe for probe in PROBE_FAMILIES if probe in wanted)


def _given(data: PreferenceData, split: str) -> set[str]:
    return {probe for example in data.probes.get(split, ()) for probe in example.responses}


def _check_families(data: PreferenceData, config: ProbesConfig, counts: Counter[str]) -> None:
    can_be_had = {*_given(data, "train"), *FAMILIES, *MODEL_ANSWERS}
    faults = [
        f"Probe {probe!r} is in no training row of {data.name} and cannot be made from the pairs (those that can: "
        f"{', '.join(FAMILIES)}); remove it from probes.families, or add it to the rows."
        for probe in (() if config.families == "all" else config.families)
        if probe not in can_be_had
    ]
    for entry in data.missing:
        if config.families == "all" or entry.probe in config.families:
            counts[f"{entry.split}.rows_missing.{entry.probe}"] = entry.n_missing
            if config.on_missing == "error":
                faults.append(
                    f"Probe {entry.probe!r} is missing from {entry.n_missing} of {entry.n_rows} rows of {entry.file} "
                    f"(first: row {entry.first_row}); skip those responses with probes.on_missing=drop, or add the key "
                    "to every row."
                )
    if faults:
        raise DataError("\n".join(faults))


def check_probes(examples: Mapping[str, Sequence[ProbeExample]], pairs: Sequence[PreferencePair]) -> None:
    """Raises DataError unless train probes are training pairs, test questions are not, and ids and responses are fit.

    An id must be of one example of its split, and no response may be empty.
    """
    faults = list(_faults(examples, pairs))
    if faults:
        more = f"\n… and {len(faults) - _FAULTS_SHOWN} more." if len(faults) > _FAULTS_SHOWN else ""
        raise DataError(
            "\n".join(faults[:_FAULTS_SHOWN]) + more + "\nExpected a data source that keeps training questions and "
            "unseen ones apart and holds no empty response; drop or correct those rows."
        )


def _faults(examples: Mapping[str, Sequence[ProbeExample]], pairs: Sequence[PreferencePair]) -> Iterator[str]:
    trained = {question_key(pair.prompt): pair.pair_id for pair in pairs}
    pair_ids = {pair.pair_id for pair in pairs}
    for split, members in examples.items():
        for example in members:
            pair_id = trained.get(question_key(example.prompt))
            if split == "train" and example.example_id not in pair_ids:
                yield f"Train probe {example.example_id!r} is not a training pair."
            if split == "test" and pair_id is not None:
                yield f"The question of test probe {example.example_id!r} is that of training pair {pair_id!r}."
            for probe, text in example.responses.items():
                if not text.strip():
                    yield f"Probe {probe!r} of {split} example {example.example_id!r} is empty."
        for example_id, number in Counter(example.example_id for example in members).items():
            if number > 1:
                yield f"{number} {split} probes have the id {example_id!r}; their scores could not be told apart."


def with_model_answers(
    examples: Sequence[ProbeExample],
    probe: str,
    answers: Mapping[str, str],
    token_ids: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[ProbeExample, ...]:
    """Adds a model's own answers (``probe`` is "chosen_initial" or "chosen_selfr") where the data gives none.

    ``answers`` maps example ids to texts, ``token_ids`` to the tokens that were sampled, where they are known; a blank
    text adds nothing, since a response is never empty.
    """

    def added(example: ProbeExample) -> ProbeExample:
        text, ids = answers.get(example.example_id, ""), (token_ids or {}).get(example.example_id)
        if probe in example.responses or not text.strip():
            return example
        sampled = {**example.sampled, probe: ids} if ids else example.sampled
        return replace(example, responses={**example.responses, probe: text}, sampled=sampled)

    return tuple(added(example) for example in examples)


def probe_fingerprint(examples: Mapping[str, Sequence[ProbeExample]]) -> str:
    """sha256 over every split, id, prompt and response; the order of examples counts, that of responses does not."""
    records = [
        [split, example.example_id, example.prompt, sorted(example.responses.items()), *example.turns]
        + ([sorted(example.sampled.items())] if example.sampled else [])
        for split in sorted(examples)
        for example in examples[split]
    ]
    return hashlib.sha256(json.dumps(records, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def with_probe_files(data: PreferenceData, path: Path) -> PreferenceData:
    """The data with the probe examples of ``path``, a directory as `ldyn probes` writes it, instead of its own.

    A train row belongs to the training pair with its question and gets that pair's id and turns. Raises DataError if a
    file cannot be read, or where a row's question, or its chosen or rejected answer, is not that of a training pair.
    """
    train_file, test_file = find_files(path.expanduser())
    files = [RowFile(train_file, "train", ("prompt", "chosen"))]
    if test_file is not None:
        files.append(RowFile(test_file, "test", ("prompt", "chosen")))
    read = {part.split: part for part in read_row_files(files)}
    probes = {split: [without_blanks(row) for row in part.rows] for split, part in read.items()}
    probes["train"] = _of_pairs(probes["train"], data.pairs, path)
    return replace(data, probes=probes, missing=[gap for part in read.values() for gap in part.missing])


def _of_pairs(examples: Sequence[ProbeExample], pairs: Sequence[PreferencePair], path: Path) -> list[ProbeExample]:
    pair_of = {normal_prompt(pair.prompt): pair for pair in pairs}
    own, unknown = [], []
    for example in examples:
        pair = pair_of.get(normal_prompt(example.prompt))
        sides = {} if pair is None else {"chosen": pair.chosen, "rejected": pair.rejected}
        given = {side: example.responses.get(side, text) for side, text in sides.items()}
        if pair is None or any(normal_response(given[side]) != normal_response(text) for side, text in sides.items()):
            unknown.append(example.example_id)
        else:
            own.append(replace(example, example_id=pair.pair_id, turns=pair.turns))
    if unknown:
        shown = ", ".join(unknown[:_FAULTS_SHOWN]) + (", …" if len(unknown) > _FAULTS_SHOWN else "")
        raise DataError(
            f"{len(unknown)} of {len(examples)} train rows of {path} are no training pairs of this run ({shown}): "
            "their question, chosen or rejected differs. Use the dataset, n_train and seed that the set was "
            "built, or build another one with `ldyn probes`."
        )
    return own
