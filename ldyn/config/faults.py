"""Validation errors in words: the dotted key, what was found, what is expected, and close matches for unknown keys."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ldyn.errors import expected_one_of

_UNKNOWN_KEY = "unexpected_keyword_argument"
_MISSING = ("missing", "missing_argument")
_NO_SUCH_MEMBER = "union_tag_invalid"
LONGEST_SHOWN = 120
_EXPECTED = {"dict_type": "a mapping", "dataclass_type": "a mapping", "too_short": "at least one item"}


def fault_lines(error: ValidationError, root: type) -> list[str]:
    """One line for each fault of a configuration of type ``root``, in the order of the configuration."""
    details = [detail for detail in error.errors() if not _explained_within(detail, error.errors())]
    lines = _joined([(dotted(detail["loc"], root), _words(detail, root)) for detail in details])
    return [f"{key}: {words}" if key else words for key, words in lines]


def _joined(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One line for each key: pydantic has one for each member of a union, "a number" and "auto", say."""
    expected: dict[str, list[str]] = {}
    for key, words in lines:
        expected.setdefault(key, []).append(words)
    return [
        (key, " or ".join([words[0], *(_without_found(other) for other in words[1:])]))
        for key, words in expected.items()
    ]


def _without_found(words: str) -> str:
    return words.partition("expected ")[2] or words


def dotted(location: tuple[int | str, ...], root: type) -> str:
    """The key as a user writes it: pydantic's location without the names of the union members it tried."""
    return ".".join(str(part) for part, _ in _walk(location, root) if part is not None)


def _explained_within(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether a part of the faulty value is named as faulty itself: a list is too short, say, for its wrong item."""
    location = detail["loc"]
    return any(len(other["loc"]) > len(location) and other["loc"][: len(location)] == location for other in details)


def _words(detail: ErrorDetails, root: type) -> str:
    kind, found, location = detail["type"], detail["input"], detail["loc"]
    if kind == _UNKNOWN_KEY:
        return f"unknown key; {expected_one_of(str(location[-1]), _keys_at(location[:-1], root))}"
    if kind in _MISSING:
        return "found nothing, expected a value"
    if kind == _NO_SUCH_MEMBER:
        context = detail["ctx"]
        tag = f"{context['discriminator']}={context['tag']!r}".replace("'", "")
        return f"found {tag}, expected one of {context['expected_tags']}"
    if kind in _EXPECTED:
        return f"found {_short(found)}, expected {_EXPECTED[kind]}"
    expected = detail["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ")
    return f"found {_short(found)}, {expected}" if not isinstance(found, dict) else expected


def _short(found: Any) -> str:
    text = repr(found)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _keys_at(location: tuple[int | str, ...], root: type) -> list[str]:
    """The keys that the configuration has at a location."""
    reached = [root, *(kind for _, kind in _walk(location, root))][-1]
    kind = next((member for member in _members(reached) if is_dataclass(member)), None)  # of `LoraConfig | None`, say
    return [item.name for item in fields(kind)] if kind is not None else []


def _walk(location: tuple[int | str, ...], root: type) -> Iterator[tuple[int | str | None, Any]]:
    """Each part of a location with the type found there; a part that only names a union member is given as None."""
    current: Any = root
    for part in location:
        members = [item for item in _members(current) if is_dataclass(item)]
        if len(members) > 1:
            current = next((item for item in members if part in _tags(item)), None)
            yield None, current
        elif not members and len(_members(current)) > 1 and isinstance(part, str):
            yield None, current  # of several plain types, pydantic's name of the one it tried
        else:
            current = _child(members[0] if members else current, part)
            yield part, current


def _child(container: Any, part: int | str) -> Any:
    if is_dataclass(container):
        return _plain_type(get_type_hints(container, include_extras=True).get(str(part)))
    arguments = get_args(container)
    return _plain_type(arguments[-1] if get_origin(container) is not tuple else arguments[0]) if arguments else None


def _plain_type(hint: Any) -> Any:
    return _plain_type(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _tags(member: Any) -> set[Any]:
    """The values of the literal fields of a union member, one of which is its discriminator."""
    hints = get_type_hints(member).values()
    return {value for hint in hints if get_origin(hint) is Literal for value in get_args(hint)}
