"""Prompts as text files, with {fields} for the texts that a language model is shown."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path

from ldyn.errors import DataError

MARK = "mark"


def read_template(path: Path | None, own: str, fields: Collection[str]) -> str:
    """The template of a file, or of our own: ``own`` is its path inside ``ldyn``.

    Raises DataError where the file cannot be read, or lacks one of the ``fields`` without which it asks nothing.
    """
    try:
        text = files("ldyn").joinpath(own).read_text("utf-8") if path is None else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The template {path} cannot be read ({error}); give a text file in UTF-8.") from error
    check_fields(text, path or own, fields)
    return text


def check_fields(template: str, name: Path | str, fields: Collection[str]) -> None:
    """Raises DataError for a template without one of the fields."""
    missing = [field for field in fields if f"{{{field}}}" not in template]
    if missing:
        needed = ", ".join(f"{{{field}}}" for field in fields)
        raise DataError(f"The template {name} lacks {{{missing[0]}}}; it needs {needed}.")


def filled(template: str, texts: Mapping[str, str]) -> str:
    """Put the texts in the places of {their names}, all at once: a text that holds "{field}" stays as it is.

    {mark} becomes a hash of the texts that are shown: marks with which a text is fenced in, and which no text can know.
    """
    shown = (text for name, text in texts.items() if f"{{{name}}}" in template)
    content = "\0".join(shown).encode("utf-8", "surrogatepass")
    values = {**texts, MARK: hashlib.sha256(content).hexdigest()[:12]}
    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({names})\}}", lambda match: values[match[1]], template)
