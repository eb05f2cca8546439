"""What all pages share: templates that escape every text, a policy that refuses any request, inlined pictures."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ldyn.data.text import visible


def page_environment() -> Environment:
    """Templates of ``ldyn/report/templates``, with the filters ``visible`` and ``symbol``."""
    environment = Environment(
        loader=PackageLoader("ldyn.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["symbol"] = _symbol
    environment.filters["visible"] = visible
    return environment


def source_text(environment: Environment, name: str) -> str:
    """A file of the templates' directory as it stands, with none of Jinja's marks read."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def content_policy(style: str, script: str | None = None) -> str:
    """A policy under which the browser itself refuses any request and any script but ours, known by its hash."""
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'"
    return policy if script is None else f"{policy}; script-src '{_hash(script)}'"


def data_url(path: Path) -> str:
    """A PNG file as an address that needs no request."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _symbol(text: str) -> Markup:
    """A probe's symbol with what follows the underscore as a subscript: y⁺_gpts."""
    head, _, index = text.partition("_")
    return Markup("{}<sub>{}</sub>").format(head, index) if index else Markup("{}").format(head)
