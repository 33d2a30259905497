"""The list of users: on a terminal a table, in a pipe plain lines with tabs between the columns, or JSON."""

import json
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from pamps.commands import accounts
from pamps.commands.console import one_line, out
from pamps.commands.ready import run
from pamps.config import Settings
from pamps.db.database import Database

Row = dict[str, Any]

# The columns of `user-list`: their titles, and how wide they are on a terminal; None shares what is left.
COLUMNS: dict[str, tuple[str, int | None]] = {
    "id": ("id", 8),
    "username": ("username", 30),
    "name": ("name", None),
    "created_at": ("since", 10),
    "post_count": ("posts", 7),
    "follower_count": ("followers", 9),
}


def show_users(settings: Settings, prefix: str, limit: int | None, as_json: bool) -> None:
    """Print users page by page as they are read, so that memory stays flat."""
    show = show_json if as_json else show_table if out.is_terminal else show_plain

    async def list_them(db: Database) -> None:
        first = True
        async for page in accounts.pages(db, prefix, limit):
            show(page, first)
            first = False

    run(settings, list_them)


def show_json(rows: list[Row], first: bool) -> None:
    """One JSON object a line."""
    for row in rows:
        typer.echo(json.dumps(row, ensure_ascii=False, separators=(",", ":")))


def show_plain(rows: list[Row], first: bool) -> None:
    if first:
        typer.echo("\t".join(title for title, _ in COLUMNS.values()))
    for row in rows:
        typer.echo("\t".join(cells(row)))


def show_table(rows: list[Row], first: bool) -> None:
    """A table for each page. The widths are fixed, so that they look like one."""
    table = Table(box=None, expand=True, pad_edge=False, show_header=first, header_style="bold")
    for name, (title, width) in COLUMNS.items():
        ratio = 1 if width is None else None
        right = name == "id" or name.endswith("_count")
        table.add_column(title, width=width, ratio=ratio, no_wrap=True, justify="right" if right else "left")
    for row in rows:
        table.add_row(*map(Text, cells(row)))
    out.print(table)


def cells(row: Row) -> list[str]:
    values = {**row, "created_at": row["created_at"][:10], "name": row["name"] or ""}
    return [one_line(values[name]) for name in COLUMNS]
