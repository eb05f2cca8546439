"""From records to rows, by one rule for local files and sets of the hub: columns, layouts, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ldyn.data.columns import NAMES, OTHER_SPELLINGS, Columns, missing_columns, read_columns, unread_prompt
from ldyn.data.layouts import (
    MAX_CHARACTERS,
    PAIR,
    Layout,
    UnusableRecord,
    has_system,
    read_record,
    without_repeated_prompts,
)
from ldyn.data.text import visible
from ldyn.errors import DataError
from ldyn.records import ProbeExample

Record = Mapping[str, Any]
_ROWS_SHOWN = 5
_QUOTE = (
    "put a field that holds a delimiter, a quotation mark or a line break in quotation marks, and double those in it"
)
REASONS: Mapping[str, tuple[str, str]] = {
    "not_json": ("not valid JSON", "write one JSON object a line"),
    "not_an_object": ("not a JSON object", "write one JSON object a line"),
    "other_number_of_fields": ("with another number of fields than the header", _QUOTE),
    "not_csv": ("not valid CSV", _QUOTE),
    "without_a_response": ("without a value of a column", "give each row a value of all of these columns"),
    "repeated_id": ("with the id of an earlier row", "give each row its own id"),
    "not_text": ("with a value that is neither text nor messages", "write a text"),
    "not_messages": (
        "with a list that holds something other than messages",
        'a message is {"role": …, "content": …} or {"from": …, "value": …}, both of them texts',
    ),
    "unknown_role": ("with an unknown role", "the roles are system, user (human) and assistant (gpt)"),
    "roles_out_of_order": (
        "with roles out of order",
        "expected a system message or none, then user and assistant in turn, and the user last before the answer",
    ),
    "no_answer": (
        "with a conversation that ends without an answer",
        "the last message of chosen and rejected is the assistant's",
    ),
    "no_common_prompt": (
        "whose chosen and rejected do not begin with the same prompt",
        "give the prompt in a column of its own, or name it by 'dataset.columns={prompt: …}'",
    ),
    "parted_before_the_last_turn": (
        "whose chosen and rejected differ before their last turn",
        "expected two answers to one conversation",
    ),
    "enormous": (
        f"with a text of more than {MAX_CHARACTERS:,} characters",
        "shorten it (a quotation mark that is never closed?)",
    ),
    "half_a_character": ("with half a surrogate pair, which is no character", "write the text again as UTF-8"),
}
"""Why a row cannot be used: what these rows have, and what can be done."""


class RowFaults:
    """All faults of one file or split, to be reported together. ``of_rows``: a key of REASONS -> row numbers."""

    def __init__(self, title: object):
        self._title = title
        self.of_file: list[str] = []
        self.of_rows: dict[str, list[int]] = {}
        self._found: dict[str, str] = {}

    def add(self, reason: str, row: int, found: str) -> None:
        """A fault of one row; ``found`` is shown for the first such row."""
        self.of_rows.setdefault(reason, []).append(row)
        self._found.setdefault(reason, found)

    def raise_if_any(self, read: Iterable[int]) -> None:
        """Raise a DataError with everything that was collected; ``read``: the numbers of the rows that were read."""
        n_rows = len({*read, *(row for rows in self.of_rows.values() for row in rows)})
        lines = [f"  - {fault}" for fault in self.of_file]
        for reason, rows in self.of_rows.items():
            have, next_step = REASONS[reason]
            shown = f"row {', '.join(map(str, rows[:_ROWS_SHOWN]))}{', …' if len(rows) > _ROWS_SHOWN else ''}"
            lines.append(
                f"  - {have}: {len(rows)} of {n_rows} rows ({shown}; first: {self._found[reason]}); {next_step}"
            )
        if lines:
            raise DataError("\n".join([f"{self._title} cannot be used:", *lines]))


def read_rows(
    records: Mapping[int, Record],
    faults: RowFaults,
    *,
    split: str,
    required: tuple[str, ...],
    given: Columns | None = None,
    layout: Layout = "auto",
    names: tuple[str, ...] = NAMES,
    id_format: str = "row-{:04d}",
) -> tuple[dict[int, ProbeExample], Counter[str]]:
    """The usable rows by their numbers, and what was counted; what is wrong with the others goes to ``faults``.

    required: the names that each row must have. given: the user's columns. names: those that are read at all.
    Raises DataError for a fault of the columns: other faults of the rows would follow from it.
    """
    given = given or {}
    found = tuple(dict.fromkeys(name for record in records.values() for name in record))
    columns = {ours: name for ours, name in read_columns(found, given).items() if ours in names}
    ours = {number: _by_our_names(record, columns) for number, record in records.items()}
    required = _required(required, given, ours)
    lost = [key for key in required if ours and not any(key in record for record in ours.values())]
    if lost:
        proposal = missing_columns(found, required, given)
        faults.of_file.append(f"without {', '.join(lost)}: {proposal}, or rename them")
    elif unread := unread_prompt(found, columns, given, list(ours.values())):
        faults.of_file.append(unread)
    if faults.of_file:
        faults.raise_if_any(records)
    with_system = any(map(has_system, ours.values()))
    rows: dict[int, ProbeExample] = {}
    for number, record in ours.items():
        if lacking := [key for key in required if key not in record]:
            faults.add("without_a_response", number, f"found no {' and no '.join(lacking)}")
            continue
        try:
            row_id = str(record.get("id", id_format.format(number)))
            rows[number] = read_record(row_id, record, layout, with_system=with_system)
        except UnusableRecord as unusable:
            faults.add(unusable.reason, number, unusable.found)
    kept, repeated = without_repeated_prompts(list(rows.values()))
    used = {*columns.values(), *OTHER_SPELLINGS}
    ignored = (name for record in records.values() for name in record if name not in used)
    counts = Counter(f"{split}.ignored_key.{visible(name)}" for name in ignored)
    counts[f"{split}.prompt_taken_off_answers"] += len(kept) if repeated else 0
    return dict(zip(rows, kept, strict=True)), counts


def _by_our_names(record: Record, columns: Mapping[str, str]) -> dict[str, Any]:
    values = {ours: record.get(name) for ours, name in columns.items()}
    for other, ours in OTHER_SPELLINGS.items():
        if ours in values and values[ours] is None:  # a file may use both spellings
            values[ours] = record.get(other)
    return {ours: value for ours, value in values.items() if value is not None}


def _required(required: tuple[str, ...], given: Columns, records: Mapping[int, Record]) -> tuple[str, ...]:
    """What each row must have: no prompt where no row has one and some have two responses that may share it."""
    has_prompt = any("prompt" in record for record in records.values()) or given.get("prompt") is not None
    has_pairs = any(all(key in record for key in PAIR) for record in records.values())
    if has_prompt or not has_pairs:
        return required
    return tuple(dict.fromkeys((*(key for key in required if key != "prompt"), *PAIR)))
