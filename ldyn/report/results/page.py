"""The results page as one HTML file: the Markdown rendered, every figure inside it, no request."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from ldyn.report.html import content_policy, data_url, page_environment, source_text


def html_page(markdown: str, directory: Path) -> str:
    """``markdown`` as a page; its pictures are read from ``directory``. HTML in the text is shown as text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in _all(tokens):
        if token.type == "image":
            picture = directory / str(token.attrs["src"])
            token.attrs["src"] = data_url(picture) if picture.is_file() else ""  # not ours: text of a run that looks so
    environment = page_environment()
    style = source_text(environment, "report.css")
    return environment.get_template("results.html").render(
        style=Markup(style),  # noqa: S704 - our own file
        policy=content_policy(style),
        body=Markup(parser.renderer.render(tokens, parser.options, {})),  # noqa: S704 - rendered with HTML switched off
    )


def _all(tokens: list[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *_all(token.children or []))]
