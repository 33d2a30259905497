"""What the command lines of the benchmarks have in common."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console

from benchmarks.load import LoadError
from pamps.errors import PampsError

DIRECTORY = Path(f"/var/tmp/pamps-benchmark-{os.getuid()}")


def run(command: Callable[..., None]) -> None:
    """Run a command as its arguments say, and say what is wrong in one line."""
    line = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    line.command()(command)
    try:
        line()
    except (LoadError, PampsError, RuntimeError) as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]{error}[/red]", highlight=False)
        sys.exit(1)
