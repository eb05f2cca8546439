"""Checks of single responses against the response that they were made from: space, markup, length, truncation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ldyn.data.rows import Row
from ldyn.probes.quality_markup import leftover_markup
from ldyn.probes.quality_record import (
    REPHRASES,
    WRITTEN_BY_A_MODEL,
    CheckedSet,
    Excerpt,
    QualityFinding,
    excerpt,
    finding,
    findings_by_kind,
    source_of,
)

SHORT, LONG = 0.5, 2.0
"""A rephrase with fewer, or more, than so many words for each word of its source is no fair comparison with it."""

_END_OF_SENTENCE = re.compile(r"[.?!:…)\]}\"”’'*]\s*\Z")


def leading_space(probes: CheckedSet) -> Iterator[QualityFinding]:
    """Responses whose first character is a space where that of the row's chosen (rejected) is none, or the reverse."""
    for split, probe, texts in probes.responses():
        compared = [(row, text, row.responses.get(source_of(probe), "")) for row, text in texts if text.strip()]
        lacks = [excerpt(row, text) for row, text, source in compared if _spaced(source) and not _spaced(text)]
        extra = [excerpt(row, text) for row, text, source in compared if source and _spaced(text) > _spaced(source)]
        source = source_of(probe)
        yield from finding(split, probe, f"no leading space, which {source} has", lacks, len(texts))
        yield from finding(split, probe, f"a leading space, which {source} lacks", extra, len(texts))


def _spaced(text: str) -> bool:
    return text[:1].isspace()


def blank(probes: CheckedSet) -> Iterator[QualityFinding]:
    """Responses without a visible character."""
    for split, probe, texts in probes.responses():
        yield from finding(split, probe, "blank", [excerpt(row, t) for row, t in texts if not t.strip()], len(texts))


def missing(probes: CheckedSet) -> Iterator[QualityFinding]:
    """Rows without a probe that other rows of the file have."""
    for gap in probes.missing:
        first = Excerpt(f"row {gap.first_row}", "")
        yield QualityFinding(gap.split, gap.probe, "missing", gap.n_missing, gap.n_rows, (first,))


def markup(probes: CheckedSet) -> Iterator[QualityFinding]:
    """Markup in texts written by a model which their source does not have; any, and kind by kind."""
    for split, probe, texts in probes.responses(*WRITTEN_BY_A_MODEL):
        found = [(row, text, list(leftover_markup(text, _source(row, probe)))) for row, text in texts]
        marked = [excerpt(row, text, kinds[0][1]) for row, text, kinds in found if kinds]
        yield from finding(split, probe, "any markup", marked, len(texts))
        by_kind = ((kind, excerpt(row, text, place)) for row, text, kinds in found for kind, place in kinds)
        yield from findings_by_kind(split, probe, by_kind, len(texts))


def _source(row: Row, probe: str) -> str:
    """The text that a rephrase was made from; a sentence about something else has none."""
    return "" if probe == "irr_hum" else row.responses.get(source_of(probe), "")


def length(probes: CheckedSet) -> Iterator[QualityFinding]:
    """Rephrases with less than half, or more than twice, the words of their source."""
    for split, probe, texts in probes.responses(*REPHRASES):
        ratios = [(row, text, word_ratio(row, probe, text)) for row, text in texts if text.strip()]
        for what, wrong in (
            (f"fewer than {SHORT:g} words a word of {source_of(probe)}", lambda ratio: ratio < SHORT),
            (f"more than {LONG:g} words a word of {source_of(probe)}", lambda ratio: ratio > LONG),
        ):
            hits = [excerpt(row, text) for row, text, ratio in ratios if ratio is not None and wrong(ratio)]
            yield from finding(split, probe, what, hits, len(texts))


def word_ratio(row: Row, probe: str, text: str) -> float | None:
    """Words of the response for each word of the row's chosen (rejected); None where that has none."""
    words = len(row.responses.get(source_of(probe), "").split())
    return len(text.split()) / words if words else None


def unfinished(probes: CheckedSet) -> Iterator[QualityFinding]:
    """Texts written by a model that end within a sentence where their source does not: cut off while they were made."""
    for split, probe, texts in probes.responses(*WRITTEN_BY_A_MODEL):
        cut = [(row, text) for row, text in texts if is_open(text) and not is_open(_source(row, probe))]
        hits = [excerpt(row, text, len(text)) for row, text in cut]
        yield from finding(split, probe, "ends within a sentence", hits, len(texts))


def is_open(text: str) -> bool:
    """Whether the text ends within a sentence."""
    return bool(text.strip()) and not _END_OF_SENTENCE.search(text)


def truncated(probes: CheckedSet) -> Iterator[QualityFinding]:
    """Prompts and responses longer than the limits of the encoding."""
    tokens = probes.tokens
    least = "" if tokens.exact else "surely "
    for split, rows in probes.splits.items():
        hits = [excerpt(row, row.prompt) for row in rows if tokens.prompt(row.prompt) > tokens.max_prompt_tokens]
        yield from finding(split, "prompt", f"{least}more than {tokens.max_prompt_tokens} tokens", hits, len(rows))
    for split, probe, texts in probes.responses():
        hits = [excerpt(row, text) for row, text in texts if tokens.response(text) > tokens.max_response_tokens]
        what = f"{least}more than {tokens.max_response_tokens} tokens with EOS"
        yield from finding(split, probe, what, hits, len(texts))
