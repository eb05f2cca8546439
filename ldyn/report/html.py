"""What all pages share: escaping templates, a policy that blocks every request, inlined pictures, rendered Markdown."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from ldyn.data.text import visible
from ldyn.errors import LdynError
from ldyn.findings.tables import MARKS, number

T = TypeVar("T")


def attempt(make: Callable[[], T]) -> T | str:
    """What ``make`` returns, or the reason why it failed: damaged data costs a part of a page, never the page."""
    try:
        return make()
    except LdynError:
        raise
    except Exception as error:  # noqa: BLE001 - what garbage in a table leads to cannot be listed
        return f"the data is damaged or incomplete ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


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
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def data_url(picture: bytes) -> str:
    """A PNG as an address that needs no request."""
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _symbol(text: str) -> Markup:
    """A probe's symbol with what follows the underscore as a subscript: y⁺_gpts."""
    head, _, index = text.partition("_")
    return Markup("{}<sub>{}</sub>").format(head, index) if index else Markup("{}").format(head)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; cells may hold Markdown, but no line break and no bar of their own."""
    cells = ([re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|") for text in row] for row in rows)
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in cells)]


def markdown_page(markdown: str, directory: Path, title: str, command: str) -> str:
    """``markdown`` as a page; its pictures are read from ``directory``. HTML in the text is shown as text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in (inner for outer in tokens for inner in outer.children or []):
        if token.type == "image":
            picture = directory / str(token.attrs["src"])
            token.attrs["src"] = data_url(picture.read_bytes()) if picture.is_file() else ""  # not a figure of ours
    body = parser.renderer.render(tokens, parser.options, {})
    for verdict, mark in MARKS.items():
        label = f'<span class="verdict verdict-{verdict.replace(" ", "-")}">{mark} {verdict}</span>'
        body = body.replace(f"<td>{mark} {verdict}", f"<td>{label}")
    for tag in ("table", "img"):  # what may be wider than the window scrolls in a box of its own
        end = "</table>" if tag == "table" else "/>"
        box = r'<span class="scroll" tabindex="0" role="region" aria-label="Wide content">\g<0></span>'
        body = re.sub(rf"<{tag}\b.*?{end}", box, body, flags=re.DOTALL)
    return render("markdown.html", title=title, command=command, body=Markup(body))  # noqa: S704 - HTML is switched off
