"""Command line arguments of an OpenAI-compatible endpoint, for every command that asks one."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from ldyn.cli.arguments import above_zero, positive
from ldyn.errors import ConfigError

if TYPE_CHECKING:
    from ldyn.answers.settings import ApiConfig


def add_api_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them as a group of their own."""
    add = parser.add_argument_group("an endpoint with OpenAI's chat completions").add_argument
    add("--model", metavar="NAME", help="as the endpoint calls it")
    add("--base-url", default="https://api.openai.com/v1", metavar="URL", help="%(default)s, or your own server's")
    add(
        "--key-variable", default="OPENAI_API_KEY", metavar="NAME", help="environment variable of the key (%(default)s)"
    )
    add("--concurrency", type=positive, default=4, metavar="N", help="requests at a time (%(default)s)")
    add("--timeout", type=above_zero, default=120.0, metavar="SECONDS", help="for one answer (%(default)s)")
    add("--retries", type=int, default=6, metavar="N", help="further tries of a request that failed (%(default)s)")
    add("--prompt-price", type=float, metavar="X", help="for a million tokens; prices are needed for --max-cost")
    add("--answer-price", type=float, metavar="X", help="for a million tokens")
    add("--max-cost", type=above_zero, metavar="X", help="stop before it costs more")
    add("--max-tokens-spent", type=positive, metavar="N", help="stop before more tokens are used")
    add("--length-field", choices=["max_tokens", "max_completion_tokens"], default="max_tokens", help="(%(default)s)")
    add("--extra", type=_object, default={}, metavar="JSON", help="further fields of each request")
    add("--dry-run", action="store_true", help="say what would be asked and what it could cost, and ask nothing")


def api_config(options: argparse.Namespace) -> ApiConfig:
    """The settings that were given. Raises ConfigError where they cannot be."""
    from ldyn.answers.settings import ApiConfig

    if not options.model:
        raise ConfigError(["--model: found none, expected the name of a model at the endpoint"])
    try:
        return ApiConfig(
            model=options.model,
            base_url=options.base_url,
            key_variable=options.key_variable,
            concurrency=options.concurrency,
            timeout_seconds=options.timeout,
            retries=max(0, options.retries),
            prompt_price=options.prompt_price,
            answer_price=options.answer_price,
            max_cost=options.max_cost,
            max_tokens_spent=options.max_tokens_spent,
            length_field=options.length_field,
            extra=options.extra,
        )
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, which is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f'found {text!r}, expected a JSON object, as {{"seed": 1}}')
    return found
