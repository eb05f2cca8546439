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
from markdown_it.token import Token
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
    """A file of the templates' directory, not rendered."""
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
    _dress_tables(tokens)
    for token in _all(tokens):
        if token.type == "image":
            picture = directory / str(token.attrs["src"])
            token.attrs["src"] = data_url(picture.read_bytes()) if picture.is_file() else ""  # not a figure of ours
    body = parser.renderer.render(tokens, parser.options, {})
    for tag in ("table", "img"):  # what may be wider than the window scrolls in a box of its own
        body = re.sub(rf"<{tag} .*?{'</table>' if tag == 'table' else '/>'}", _scrolling, body, flags=re.DOTALL)
    return render("markdown.html", title=title, command=command, body=Markup(body))  # noqa: S704 - HTML is switched off


def _scrolling(match: re.Match[str]) -> str:
    return f'<span class="scroll" tabindex="0" role="region" aria-label="Wide content">{match[0]}</span>'


_ROLES = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "th": "columnheader", "td": "cell"}
_WIDTHS = ((60, "wide"), (34, "middle"), (0, "narrow"))
"""Longest text of a column (characters, from this up) and the class of its cells."""
_VERDICT = re.compile(r"(✓ holds|✗ fails|○ no effect found|\? inconclusive|· this run|[✓✗○?](?= |$))(.*)", re.DOTALL)


def _dress_tables(tokens: list[Token]) -> None:
    """Classes by the width of each column, labels for the cards on narrow screens, and the colours of verdicts."""
    table: list[list[tuple[Token, Token]]] = []  # rows of (opening token, content)
    for token, content in zip(tokens, [*tokens[1:], Token("", "", 0)], strict=True):
        if token.nesting == 1 and token.tag in _ROLES:
            token.attrs["role"] = _ROLES[token.tag]
        if token.type == "table_open":
            table, token.attrs["class"] = [], "cards"
        elif token.type == "tr_open":
            table.append([])
        elif token.type in ("th_open", "td_open"):
            table[-1].append((token, content))
        elif token.type == "table_close":
            for column in zip(*table, strict=True):
                _dress_column([cell for cell, _ in column], [inside for _, inside in column])


def _dress_column(cells: list[Token], contents: list[Token]) -> None:
    longest = max(len(content.content) for content in contents)
    width = next(name for size, name in _WIDTHS if longest >= size)
    for cell, content in zip(cells, contents, strict=True):
        cell.attrs |= {"class": width, "data-label": contents[0].content}
        if content.children and (found := _VERDICT.fullmatch(content.content)):
            verdict = next(name for name, mark in MARKS.items() if found[1].startswith(mark))
            inner = (Token("text", "", 0, content=text) for text in (found[1], found[2]))
            span = Token("html_inline", "", 0, content=f'<span class="verdict verdict-{verdict.replace(" ", "-")}">')
            first, rest = inner
            content.children = [span, first, Token("html_inline", "", 0, content="</span>"), rest]


def _all(tokens: list[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *_all(token.children or []))]
