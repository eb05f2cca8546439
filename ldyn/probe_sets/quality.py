"""Check a probe set: five faults that bend its curves, each with a count and an example. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ldyn.data.local_files import probe_files, read_row_files
from ldyn.data.text import normal_response, one_line
from ldyn.errors import DataError
from ldyn.records import ProbeExample

TOLERANCE = 0.02
"""The share of a probe's rows that may have a fault."""
RUN_OF_WORDS = 13
"""Two texts that share so many words in a row overlap (the length by which GPT-3's data was deduplicated)."""
SHORT, LONG = 0.5, 2.0
"""Fewest and most words of a rephrase for each word of its source."""
REPHRASES = ("chosen_selfr", "chosen_gptsemantic", "chosen_gptformat", "reject_gptsemantic", "reject_gptformat")
WRITTEN_BY_A_MODEL = ("chosen_initial", *REPHRASES, "irr_hum")
_UNSEEN = "test"


class TrainingText:
    """What is trained on, indexed for comparison. ``rows`` have prompt, chosen and perhaps rejected."""

    def __init__(self, rows: Sequence[ProbeExample]):
        self.rows = rows

    def overlap(self, text: str) -> str | None:
        """What ``text`` shares with the training text: all of it, or RUN_OF_WORDS words in a row; None if nothing."""
        if normal_response(text) in self._answers:
            return text
        return next((" ".join(run) for run in _runs(text) if hash(run) in self._all_runs), None)

    @cached_property
    def _answers(self) -> frozenset[str]:
        return frozenset(normal_response(text) for row in self.rows for text in _pair(row))

    @cached_property
    def _all_runs(self) -> frozenset[int]:
        """Hashes only: 5,000 pairs have millions of runs, whose words would take gigabytes."""
        return frozenset(hash(run) for row in self.rows for text in (row.prompt, *_pair(row)) for run in _runs(text))


def _pair(row: ProbeExample) -> list[str]:
    return [row.responses[key] for key in ("chosen", "rejected") if key in row.responses]


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[start : start + RUN_OF_WORDS]) for start in range(len(words) - RUN_OF_WORDS + 1))


# --------------------------------------------------------------------------------------------------------------
# Texts that a language model wrote

_LABELS = r"(?:original|rephras|paraphras|reword|rewrit|revis|input|output|answer|response|version|sentence)"
_MARKUP = (
    re.compile(r"([@#=*~_|<>^%+-])\1{2,}"),
    re.compile(rf"(?im)^\W*(?:(?:the|my|your|a|first|second)\s+)?{_LABELS}[\w ]{{0,20}}:"),
    re.compile(r"(?m)^\s*(?:Human|Assistant|User|System|Question|Q|A):"),
    re.compile(
        r"(?i)\A\W*(?:(?:sure|certainly|of course)\W+)?here(?:'s|’s| is| are)\b[^.\n]{0,60}"
        r"(?:rephras|paraphras|reword|rewrit|version|sentence|alternative)"
    ),
    re.compile(r"(?m)^\s*(?:[*•+-]|\d{1,2}[.)])\s+\S"),
    re.compile(r"</?[a-zA-Z][a-zA-Z0-9-]*(?:\s[^<>]*)?/?>|<\|[^|<>\s]+\|>|\[/?INST\]"),
    re.compile(r"(?m)\*\*\S|^#{1,6}\s|`{1,3}\S|\[[^\]\n]+\]\(http"),
    re.compile(r"\{[^{}\n]{1,40}\}|[\[<](?:your|insert|name|sentence|topic)\b[^\]>\n]*[\]>]"),
    re.compile(r"\A\s*(?:\"[^\"]*\"|“[^”]*”|'[^'\n]*'|\([^()]*\)|\[[^\[\]]*\])\s*\Z"),
)
"""Markers, labels, turns, announcements, lists, tags and control tokens, Markdown, slots, quotes around all of it."""
_END_OF_SENTENCE = re.compile(r"[.?!:…)\]}\"”’'*]\s*\Z")


def leftover_markup(text: str, source: str) -> int | None:
    """Where ``text`` has markup of a kind that ``source`` lacks (a rephrased list is a list); None if nowhere."""
    found = (pattern.search(text) for pattern in _MARKUP if not pattern.search(source))
    return next((match.start() for match in found if match), None)


def is_open(text: str) -> bool:
    return bool(text.strip()) and not _END_OF_SENTENCE.search(text)


# --------------------------------------------------------------------------------------------------------------
# Checks


@dataclass(frozen=True)
class _Response:
    """A response that is not blank; ``source``: the text of its row that a rephrase was made from, "" if none."""

    split: str
    probe: str
    row: ProbeExample
    text: str
    training: TrainingText

    @property
    def source(self) -> str:
        side = "rejected" if self.probe.startswith("reject") else "chosen"
        return "" if self.probe == "irr_hum" else self.row.responses.get(side, "")


def _markup(one: _Response) -> str | None:
    place = leftover_markup(one.text, one.source) if one.probe in WRITTEN_BY_A_MODEL else None
    return None if place is None else one.text[max(0, place - 40) :]


def _length(one: _Response) -> str | None:
    words, source = len(one.text.split()), len(one.source.split())
    is_fine = one.probe not in REPHRASES or not source or SHORT * source <= words <= LONG * source
    return None if is_fine else f"{words} words for {source}: {one.text}"


def _unfinished(one: _Response) -> str | None:
    is_cut = one.probe in WRITTEN_BY_A_MODEL and is_open(one.text) and not is_open(one.source)
    return one.text[-100:] if is_cut else None


def _identical(one: _Response) -> str | None:
    earlier = one.row.responses.items()
    names = [name for name, text in earlier if normal_response(text) == normal_response(one.text)]
    return f"as {names[0]}: {one.text}" if names[0] != one.probe else None


def _trained(one: _Response) -> str | None:
    is_unseen = one.probe == "irr_test" or (one.split == _UNSEEN and one.probe in ("chosen", "rejected"))
    return one.training.overlap(one.text) if is_unseen else None


CHECKS: Mapping[str, tuple[str, Callable[[_Response], str | None]]] = {
    "leftover markup": ("The curve shows how likely labels and markers are, not how likely a rephrase is.", _markup),
    "length ratio": ("Sums over tokens grow with length: compare means per token only.", _length),
    "unfinished": ("EOS is scored where the text would continue, which lowers the sum.", _unfinished),
    "identical responses": ("Two curves share these rows, so their difference shrinks.", _identical),
    "unseen answer is trained on": ("Its text, or 13 words in a row, is trained on, which lifts the curve.", _trained),
}
"""Name -> (what it does to the curves, the piece of a response that shows it)."""


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """``count`` of ``of`` rows of a split have the fault in ``probe``; the first is ``row_id`` with ``text``."""

    check: str
    split: str
    probe: str
    count: int
    of: int
    row_id: str
    text: str


@dataclass(frozen=True)
class QualityReport:
    """rows: split -> number of rows; training_rows: how many rows "trained on" is judged by."""

    rows: Mapping[str, int]
    training_rows: int
    findings: Sequence[QualityFinding]

    @property
    def faults(self) -> list[QualityFinding]:
        return [one for one in self.findings if one.count > TOLERANCE * one.of]

    @property
    def summary(self) -> str:
        rows = " and ".join(f"{number} {split}" for split, number in self.rows.items())
        names = ", ".join(sorted({one.check for one in self.faults}))
        outcome = f"not passed: {names}" if names else "passed: no fault"
        compared = f"{rows} rows, compared with {self.training_rows} training rows"
        return f"{outcome} in more than {TOLERANCE:.0%} of a probe's rows ({compared})"


def check_probe_set(path: Path, training: Sequence[ProbeExample] = ()) -> QualityReport:
    """Check a probe file, or a directory of the paper's layout.

    training: further rows (prompt, chosen and rejected) that are trained on. Raises DataError if a file cannot be read.
    """
    splits = {part.split: part.rows for part in read_row_files(probe_files(path))}
    if not any(row.responses for rows in splits.values() for row in rows):
        raise DataError(f"{path} has no response; expected rows with a prompt and probes (chosen, rejected, …).")
    trained = TrainingText([*(row for name, rows in splits.items() if name != _UNSEEN for row in rows), *training])
    numbers = {split: len(rows) for split, rows in splits.items()}
    return QualityReport(numbers, len(trained.rows), list(_findings(splits, trained)))


def _findings(splits: Mapping[str, Sequence[ProbeExample]], training: TrainingText) -> Iterator[QualityFinding]:
    responses = [
        _Response(split, probe, row, text, training)
        for split, rows in splits.items()
        for row in rows
        for probe, text in row.responses.items()
        if text.strip()
    ]
    for name, (_, check) in CHECKS.items():
        hits: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for one in responses:
            if (piece := check(one)) is not None:
                hits.setdefault((one.split, one.probe), []).append((one.row.example_id, piece))
        for (split, probe), found in hits.items():
            of = sum((one.split, one.probe) == (split, probe) for one in responses)
            yield QualityFinding(name, split, probe, len(found), of, found[0][0], found[0][1][:160])


def findings_table(report: QualityReport) -> Table:
    table = Table(title="Faults" if report.findings else "No fault", title_justify="left", box=SIMPLE_HEAD)
    for name in ("fault", "probe", "rows", "for example"):
        table.add_column(name, overflow="fold")
    for one in report.findings:
        mark = "[bold red]✗[/]" if one in report.faults else "[yellow]○[/]"
        example = escape(f"{one_line(one.row_id, 20)}: {one_line(one.text, 100)}")
        rows = f"{one.count} of {one.of} {one_line(one.split, 20)}"
        table.add_row(f"{mark} {one.check}", escape(one_line(one.probe, 60)), escape(rows), example)
    names = {one.check for one in report.faults}
    table.caption = "\n".join(f"{name}: {effect}" for name, (effect, _) in CHECKS.items() if name in names)
    table.caption_justify = "left"
    return table
