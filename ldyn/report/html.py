"""What all pages share: escaping templates, a policy that blocks every request, inlined pictures, rendered Markdown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from ldyn.data.text import visible
from ldyn.findings.tables import number


def render(template: str, scripts: Sequence[str] = (), **values: Any) -> str:
    """A template of ``ldyn/report/templates`` as a page with our style and ``scripts`` inlined; every text is escaped.

    The page's policy makes the browser block any request, and any script but ours, known by its hash.
    """
    environment = Environment(
        loader=PackageLoader("ldyn.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"symbol": _symbol, "visible": visible, "number": number}
    style = _source(environment, "report.css")
    script = "".join(_source(environment, name) for name in scripts)
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'"
    return environment.get_template(template).render(
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        policy=f"{policy}; script-src '{_hash(script)}'" if script else policy,
        **values,
    )


def _source(environment: Environment, name: str) -> str:
    """A file of the templates' directory, not rendered."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def data_url(path: Path) -> str:
    """A PNG file as an address that needs no request."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _symbol(text: str) -> Markup:
    """A probe's symbol with what follows the underscore as a subscript: y⁺_gpts."""
    head, _, index = text.partition("_")
    return Markup("{}<sub>{}</sub>").format(head, index) if index else Markup("{}").format(head)


def markdown_page(markdown: str, directory: Path, title: str, command: str) -> str:
    """``markdown`` as a page; its pictures are read from ``directory``. HTML in the text is shown as text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in _all(tokens):
        if token.type == "image":
            picture = directory / str(token.attrs["src"])
            token.attrs["src"] = data_url(picture) if picture.is_file() else ""  # not a figure of ours
    body = Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - HTML is switched off
    return render("markdown.html", title=title, command=command, body=body)


def _all(tokens: list[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *_all(token.children or []))]
