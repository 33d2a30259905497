"""The effective settings, as `pamps config` shows them."""

import json
from pathlib import Path
from typing import Any

import typer

from pamps.config import SECRETS, Settings, every_setting
from pamps.loading import shown
from pamps.places import source


def show(settings: Settings, as_json: bool) -> None:
    """Print every setting: its name, its value, where that comes from. Secrets are masked."""
    found = [(".".join(path), value_of(settings, path), source(path, Path.cwd())) for path in every_setting()]
    if as_json:
        rows = [{"name": name, "value": value, "source": where} for name, value, where in found]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    lines = [(name, json.dumps(value, ensure_ascii=False), where) for name, value, where in found]
    names, values = (max(len(line[column]) for line in lines) for column in (0, 1))
    for name, value, where in lines:
        typer.echo(f"{name:{names}}  {value:{values}}  {where}")


def value_of(settings: Settings, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    return shown(path, value) if path in SECRETS and value else value
