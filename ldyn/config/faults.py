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
    expected: dict[str, list[str]] = {}
    for detail in error.errors():
        location = detail["loc"]
        inner = (other["loc"] for other in error.errors() if len(other["loc"]) > len(location))
        if any(other[: len(location)] == location for other in inner):
            continue  # a list is too short, say, for its wrong item, which has a line of its own
        expected.setdefault(dotted(location, root), []).append(_words(detail, root))
    # pydantic has one for each member of a union, "a number" and "auto", say
    lines = []
    for key, (first, *others) in expected.items():
        words = " or ".join([first, *(other.partition("expected ")[2] or other for other in others)])
        lines.append(f"{key}: {words}" if key else words)
    return lines


def dotted(location: tuple[int | str, ...], root: type) -> str:
    """The key as a user writes it: pydantic's location without the names of the union members it tried."""
    return ".".join(str(part) for part, _ in _walk(location, root) if part is not None)


def _words(detail: ErrorDetails, root: type) -> str:
    kind, found, location = detail["type"], detail["input"], detail["loc"]
    if kind == _UNKNOWN_KEY:
        reached = [root, *(kind for _, kind in _walk(location[:-1], root))][-1]
        known = next((member for member in _members(reached) if is_dataclass(member)), None)  # of `LoraConfig | None`
        return (
            f"unknown key; {expected_one_of(str(location[-1]), [one.name for one in fields(known)] if known else [])}"
        )
    if kind in _MISSING:
        return "found nothing, expected a value"
    if kind == _NO_SUCH_MEMBER:
        context = detail["ctx"]
        tag = f"{context['discriminator']}={context['tag']!r}".replace("'", "")
        return f"found {tag}, expected one of {context['expected_tags']}"
    shown = repr(found) if len(repr(found)) <= LONGEST_SHOWN else f"{repr(found)[:LONGEST_SHOWN]}…"
    if kind in _EXPECTED:
        return f"found {shown}, expected {_EXPECTED[kind]}"
    expected = detail["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ")
    return f"found {shown}, {expected}" if not isinstance(found, dict) else expected


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
        hint = get_type_hints(container, include_extras=True).get(str(part))
    else:
        arguments = get_args(container)
        hint = arguments[-1 if get_origin(container) is not tuple else 0] if arguments else None
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _tags(member: Any) -> set[Any]:
    hints = get_type_hints(member).values()
    return {value for hint in hints if get_origin(hint) is Literal for value in get_args(hint)}
