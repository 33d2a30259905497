"""Letters: the plain and the HTML part of a mail, from a file that says both (letters/README.md)."""

from datetime import datetime
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

FOLDER = Path(__file__).with_name("letters")
LINK = "$link"


class Letter(NamedTuple):
    """A mail as it is read."""

    subject: str
    text: str
    html: str


def write(template: str, language: str, fields: dict[str, str]) -> Letter:
    """A letter with its fields filled in. Raises KeyError where one is missing."""
    subject, *paragraphs = source(template, language)
    title = Template(subject).substitute(fields)
    text = "\n\n".join(Template(paragraph).substitute(fields) for paragraph in paragraphs)
    body = "\n".join(marked_up(paragraph, fields) for paragraph in paragraphs)
    html = Template(layout()).substitute(language=language, subject=escape(title), body=body)
    return Letter(title, f"{text}\n", html)


def marked_up(paragraph: str, fields: dict[str, str]) -> str:
    """A paragraph as HTML; whatever is filled in is text there, and no markup."""
    filled = Template(escape(paragraph)).substitute({name: escape(value) for name, value in fields.items()})
    if paragraph == LINK and fields["link"].startswith(("https://", "http://")):
        filled = f'<a href="{filled}">{filled}</a>'
    return "<p>" + filled.replace("\n", "<br>\n") + "</p>"


@cache
def source(template: str, language: str) -> tuple[str, ...]:
    """The subject of a letter and its paragraphs, as they stand in its file."""
    text = (FOLDER / language / f"{template}.txt").read_text(encoding="utf-8")
    return tuple(text.strip().split("\n\n"))


@cache
def layout() -> str:
    return (FOLDER / "layout.html").read_text(encoding="utf-8")


def shown(moment: str) -> str:
    """A time (RFC 3339, UTC) as it is read in any language: to the minute."""
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"
