"""Lists on the terminal as tables, and in a pipe as plain lines, a tab between the columns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from pamps import accounts
from pamps.config import SECRETS, Settings, every_setting, shown
from pamps.console import one_line, out
from pamps.db import Database
from pamps.places import source
from pamps.ready import run

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
    show = show_json if as_json else show_table() if out.is_terminal else show_plain()

    async def list_them(db: Database) -> None:
        async for page in accounts.pages(db, prefix, limit):
            show(page)

    run(settings, list_them)


def show_json(rows: list[Row]) -> None:
    """One JSON object a line."""
    for row in rows:
        typer.echo(json.dumps(row, ensure_ascii=False, separators=(",", ":")))


def show_plain() -> Callable[[list[Row]], None]:
    typer.echo("\t".join(title for title, _ in COLUMNS.values()))

    def show(rows: list[Row]) -> None:
        for row in rows:
            typer.echo("\t".join(cells(row)))

    return show


def show_table() -> Callable[[list[Row]], None]:
    """A table for each page. The widths are fixed, so that they look like one."""
    header = True

    def show(rows: list[Row]) -> None:
        nonlocal header
        table = Table(box=None, expand=True, pad_edge=False, show_header=header, header_style="bold")
        for name, (title, width) in COLUMNS.items():
            right = name == "id" or name.endswith("_count")
            table.add_column(title, width=width, ratio=1, no_wrap=True, justify="right" if right else "left")
        for row in rows:
            table.add_row(*cells(row))
        out.print(table)
        header = False

    return show


def cells(row: Row) -> list[str]:
    values = {**row, "created_at": row["created_at"][:10], "name": row["name"] or ""}
    return [one_line(values[name]) for name in COLUMNS]


def show_settings(settings: Settings, as_json: bool) -> None:
    """Print every setting: its name, its value, where that comes from. Secrets are masked."""
    found: list[Row] = []
    for path in every_setting():
        value: Any = settings
        for name in path:
            value = getattr(value, name)
        found.append({"name": ".".join(path), "value": masked(path, value), "source": source(path, Path.cwd())})
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    lines = [(row["name"], json.dumps(row["value"], ensure_ascii=False), row["source"]) for row in found]
    names, values = (max(len(line[column]) for line in lines) for column in (0, 1))
    for name, value, where in lines:
        typer.echo(f"{name:{names}}  {value:{values}}  {where}")


def masked(path: tuple[str, ...], value: Any) -> Any:
    return shown(path, value) if path in SECRETS and value else value
