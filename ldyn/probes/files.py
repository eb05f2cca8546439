"""Probe examples from files of their own, to be observed beside the training pairs of any data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ldyn.data.layouts import Row
from ldyn.data.local_files import RowFile, find_files, read_row_files
from ldyn.data.text import normal_prompt, normal_response
from ldyn.errors import DataError
from ldyn.records import PreferenceData, PreferencePair, ProbeExample

_ROWS_SHOWN = 5


def with_probe_files(data: PreferenceData, path: Path) -> PreferenceData:
    """The data with the probe examples of ``path``, a directory as `ldyn probes` writes it, in the place of its own.

    A train row belongs to the training pair with its question and gets that pair's id and turns. Raises DataError if a
    file cannot be read, or where a row's question, or its chosen or rejected answer, is not that of a training pair.
    """
    train_file, test_file = find_files(path.expanduser())
    files = [RowFile(train_file, "train", ("prompt", "chosen"))]
    if test_file is not None:
        files.append(RowFile(test_file, "test", ("prompt", "chosen")))
    read = {part.split: part for part in read_row_files(files)}
    probes = {split: [_example(row) for row in part.rows] for split, part in read.items()}
    probes["train"] = _of_pairs(probes["train"], data.pairs, path)
    return replace(data, probes=probes, missing=[gap for part in read.values() for gap in part.missing])


def _example(row: Row) -> ProbeExample:
    responses = {key: text for key, text in row.responses.items() if text.strip()}
    return ProbeExample(row.row_id, row.prompt, responses, row.turns)


def _of_pairs(examples: Sequence[ProbeExample], pairs: Sequence[PreferencePair], path: Path) -> list[ProbeExample]:
    pair_of = {normal_prompt(pair.prompt): pair for pair in pairs}
    strange = [example.example_id for example in examples if not _is_trained(example, pair_of)]
    if strange:
        shown = ", ".join(strange[:_ROWS_SHOWN]) + (", …" if len(strange) > _ROWS_SHOWN else "")
        raise DataError(
            f"{len(strange)} of {len(examples)} train rows of {path} are no training pairs of this run ({shown}): they "
            "have another question, or another chosen or rejected answer. Take the dataset, its n_train and the seed "
            "with which the probe set was built, or build another one with `ldyn probes`."
        )
    own = [(example, pair_of[normal_prompt(example.prompt)]) for example in examples]
    return [replace(example, example_id=pair.pair_id, turns=pair.turns) for example, pair in own]


def _is_trained(example: ProbeExample, pair_of: Mapping[str, PreferencePair]) -> bool:
    pair = pair_of.get(normal_prompt(example.prompt))
    return pair is not None and all(
        normal_response(example.responses.get(side, text)) == normal_response(text) for side, text in _sides(pair)
    )


def _sides(pair: PreferencePair) -> Iterator[tuple[str, str]]:
    yield from (("chosen", pair.chosen), ("rejected", pair.rejected))
