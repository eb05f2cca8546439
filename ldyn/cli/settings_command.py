"""What commands with Hydra overrides share: help page, words without `=`, flags, validation of the settings."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ldyn.cli.hydra_jobs import composed_settings, hydra_words, quoted, run_jobs
from ldyn.config.groups import config_directory
from ldyn.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ldyn.store import Run

Config = TypeVar("Config")
FLAGS = {"--json": "json=true", "--dry-run": "dry_run=true", "--overwrite": "overwrite=true"}
"""Switches that may be written as flags."""

SWEEP_FLAG = "  -m, --multirun         a sweep: one run for each combination of comma-separated values, seed=0,1,2\n"
TEMPLATE = """\
usage: {usage}

{about}

settings (key=value; null: not set):
{settings}

examples:
{examples}

flags:
  --cfg job              print all settings and stop
{flags}"""


@dataclass(frozen=True)
class Page:
    """A command's name, its YAML file, and its help page.

    examples: commands, and what they print.
    main: the settings that words without ``=`` set, in their order; the last one takes a list where ``many``.
    renamed: flags of earlier versions with another name than their setting.
    """

    command: str
    config: str
    usage: str
    about: str
    examples: str
    main: tuple[str, ...] = ()
    many: bool = False
    renamed: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """The help page."""
        settings = settings_listed(self.config)
        flags = "".join(
            f"  {flag:<22} the same as {setting}\n"
            for flag, setting in FLAGS.items()
            if f"\n  {setting.partition('=')[0]}:" in f"\n{settings}"
        )
        return TEMPLATE.format(
            usage=self.usage, about=self.about, settings=settings, examples=self.examples, flags=flags
        )


def settings_of(page: Page, arguments: Sequence[str]) -> dict[str, Any] | None:
    """The settings that ``arguments`` give; None where they asked for the help page or the settings, now printed."""
    if {"-h", "--help"} & set(arguments):
        print(page.text(), end="")
        return None
    words = list(arguments)
    shown = "--cfg" in words
    if shown:
        at = words.index("--cfg")
        del words[at : at + 2]
    overrides = hydra_words(_overrides(page, words))
    composed = composed_settings(page.config, overrides)

    from omegaconf import OmegaConf

    if shown:
        print(OmegaConf.to_yaml(composed), end="")
        return None
    if missing := sorted(OmegaConf.missing_keys(composed)):
        raise ConfigError([f"{key}: found nothing, expected a value; `ldyn {page.command} --help`" for key in missing])

    from ldyn.config.loading import plain_settings

    return plain_settings(composed)


def study_command(page: Page, arguments: Sequence[str], study: Callable[[DictConfig], Run]) -> int:
    """Print the help page of a study, or compose its YAML file, run ``study`` on it and print the results."""
    if {"-h", "--help"} & set(arguments):
        print(page.text(), end=SWEEP_FLAG)
        return 0

    def job(composed: DictConfig) -> None:
        run = study(composed)

        from ldyn.run.conclusion import print_results

        print_results(run)

    return run_jobs(page.config, arguments, job)


def validated_as(kind: type[Config], settings: dict[str, Any]) -> Config:
    """The settings as ``kind``; every fault found is in the one ConfigError."""
    from ldyn.config.loading import validated

    return validated(kind, settings, settings, lambda _: [])


def as_list(value: Any) -> Any:
    """A single name where a list may stand."""
    return [value] if isinstance(value, str) else value


def settings_listed(name: str) -> str:
    """A YAML file of ours without its first comment and what is Hydra's: each setting, its default and what it is."""
    text = (config_directory() / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[2]
    blocks = [block for block in text.split("\n\n") if not block.startswith("defaults:")]
    return "\n".join(f"  {line}" if line else "" for line in "\n\n".join(blocks).rstrip().splitlines())


def _overrides(page: Page, words: Sequence[str]) -> list[str]:
    """Flags and words without ``=`` as overrides."""
    left, plain, overrides = list(words), list[str](), list[str]()
    while left:
        word = left.pop(0)
        if word in FLAGS:
            overrides.append(FLAGS[word])
        elif word.startswith("-") and word != "-":
            raise ConfigError([_former_flag(page, word, left)])
        elif "=" in word:
            overrides.append(word)
        else:
            plain.append(word)
    if len(plain) > len(page.main) and not page.many:
        expected = f"expected key=value, or {' '.join(page.main).upper()}" if page.main else "expected key=value"
        raise ConfigError([f"{plain[len(page.main)]}: found a word without '=', {expected}"])
    if page.many and plain:
        return [f"{page.main[0]}=[{','.join(map(quoted, plain))}]", *overrides]
    return [*(f"{key}={quoted(word)}" for key, word in zip(page.main, plain, strict=False)), *overrides]


def _former_flag(page: Page, word: str, following: Sequence[str]) -> str:
    flag, equals, value = word.partition("=")
    name = dict(page.renamed).get(flag, flag.lstrip("-").replace("-", "_"))
    given = value if equals else following[0] if following and not following[0].startswith("-") else "true"
    return f"{word}: settings have no dashes; write {name}={given} (`ldyn {page.command} --help` lists them)"


class ProgressLines:
    """Called with (done, all), from any thread."""

    def __init__(self, what: str, seconds: float = 5.0):
        self._what, self._seconds = what, seconds
        self._said = float("-inf")
        self._lock = threading.Lock()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        with self._lock:
            if done < total and now - self._said < self._seconds:
                return
            self._said = now
            print(f"{self._what}: {done:,} of {total:,}", file=sys.stderr, flush=True)
