"""What commands with Hydra overrides share: help page, words without `=`, flags, validation, and a printed table."""

from __future__ import annotations

import itertools
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ldyn.cli.hydra_jobs import composed_settings, hydra_words
from ldyn.config.groups import config_directory, quoted
from ldyn.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

Config = TypeVar("Config")
FLAGS = {"--json": "json=true", "--dry-run": "dry_run=true", "--overwrite": "overwrite=true"}
"""Switches that may be written as flags."""


@dataclass(frozen=True)
class Page:
    """A command and its YAML file, whose first comment is the command's help page.

    main: the settings that words without ``=`` set, in their order; the first one is a list where ``many``.
    """

    command: str
    config: str
    main: tuple[str, ...] = ()
    many: bool = False

    def text(self) -> str:
        settings = settings_listed(self.config)
        flags = [flag for flag, setting in FLAGS.items() if f"\n  {setting.partition('=')[0]}:" in f"\n{settings}"]
        same = "".join(f"  {flag:<22} the same as {FLAGS[flag]}\n" for flag in flags)
        shown = "flags:\n  --cfg job              print all settings and stop\n"
        return f"{first_comment(self.config)}\n\nsettings (key=value; null: not set):\n{settings}\n\n{shown}{same}"


def first_comment(name: str) -> str:
    """What stands at the top of a YAML file of ours."""
    lines = (config_directory() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return "\n".join(line[2:] for line in comment)


def settings_listed(name: str) -> str:
    """A YAML file of ours without its first comment and what is Hydra's: each setting, its default and what it is."""
    lines = (config_directory() / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    rest = "\n".join(itertools.dropwhile(lambda line: line.startswith("#"), lines)).strip()
    blocks = [block for block in rest.split("\n\n") if not block.startswith("defaults:")]
    return textwrap.indent("\n\n".join(blocks), "  ")


def composed(page: Page, arguments: Sequence[str]) -> DictConfig | None:
    """What ``arguments`` compose; None where they asked for the help page or the settings, now printed."""
    if {"-h", "--help"} & set(arguments):
        print(page.text(), end="")
        return None
    words = list(arguments)
    shown = "--cfg" in words
    if shown:
        at = words.index("--cfg")
        del words[at : at + 2]
    found = composed_settings(page.config, hydra_words(_overrides(page, words)))

    from omegaconf import OmegaConf

    if shown:
        print(OmegaConf.to_yaml(found), end="")
        return None
    if missing := sorted(OmegaConf.missing_keys(found)):
        raise ConfigError([f"{key}: found nothing, expected a value; `ldyn {page.command} --help`" for key in missing])
    return found


def settings_of(page: Page, arguments: Sequence[str]) -> dict[str, Any] | None:
    """The settings that ``arguments`` give; None where there is nothing more to do."""
    from ldyn.config.loading import plain_settings

    found = composed(page, arguments)
    return None if found is None else plain_settings(found)


def validated_as(kind: type[Config], settings: dict[str, Any]) -> Config:
    """The settings as ``kind``; every fault found is in the one ConfigError."""
    from ldyn.config.loading import validated

    return validated(kind, settings, settings, lambda _: [])


def _overrides(page: Page, words: Sequence[str]) -> list[str]:
    """Flags and words without ``=`` as overrides."""
    plain, overrides = list[str](), list[str]()
    for word in words:
        if word.startswith("-") and word not in (*FLAGS, "-"):
            raise ConfigError([f"{word}: settings have no dashes; write key=value, see `ldyn {page.command} --help`"])
        if word in FLAGS or "=" in word:
            overrides.append(FLAGS.get(word, word))
        else:
            plain.append(word)
    open_ = [key for key in page.main if not any(word.startswith(f"{key}=") for word in overrides)]
    if page.many and plain and open_:
        n_first = max(1, len(plain) - len(open_) + 1) if page.main[0] == open_[0] else 0
        first, plain = plain[:n_first], plain[n_first:]
        overrides += [f"{open_.pop(0)}=[{','.join(map(quoted, first))}]"] if first else []
    if len(plain) > len(open_):
        expected = f"expected key=value, or {' '.join(page.main).upper()}" if page.main else "expected key=value"
        raise ConfigError([f"{plain[len(open_)]}: found a word without '=', {expected}"])
    return [*(f"{key}={quoted(word)}" for key, word in zip(open_, plain, strict=False)), *overrides]


def print_table(title: str, rows: Sequence[Mapping[str, str]], texts: int = 1) -> None:
    """Rows with equal keys, the headings; the first ``texts`` columns hold texts, which may be folded."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ldyn.data.text import one_line

    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, collapse_padding=True)
    for number, heading in enumerate(rows[0]):
        is_text, longest = number < texts, max(len(row[heading]) for row in rows)
        justify: Literal["left", "right"] = "left" if is_text else "right"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=not is_text, min_width=min(longest, 20))
    for row in rows:
        table.add_row(*(escape(one_line(value, 70)) for value in row.values()))
    Console().print(table)


class ProgressLines:
    """Called with (done, all); prints at most one line in so many seconds, and the last."""

    def __init__(self, what: str, seconds: float = 5.0):
        self._what, self._seconds, self._printed = what, seconds, float("-inf")

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._printed >= self._seconds:
            self._printed = now
            print(f"{self._what}: {done:,} of {total:,}", file=sys.stderr, flush=True)
