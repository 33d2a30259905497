"""What the command lines of the benchmarks have in common."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from benchmarks.load import LoadError
from pamps.errors import PampsError

DIRECTORY = Path(f"/var/tmp/pamps-benchmark-{os.getuid()}")


def run(command: Callable[..., None]) -> None:
    """Run a command as its arguments say, and say what is wrong in one line."""
    signal.signal(signal.SIGTERM, end)
    line = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    line.command()(command)
    try:
        line()
    except (LoadError, PampsError, RuntimeError) as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]{error}[/red]", highlight=False)
        sys.exit(1)


def end(number: int, _: object) -> NoReturn:
    """End as after Ctrl-C: what was started is stopped, and what was made is taken away."""
    sys.exit(128 + number)
