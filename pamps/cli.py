"""The command line: `pamps`. Each command calls the same statements as the API."""

import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from pamps import __version__
from pamps.errors import PampsError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def main() -> None:
    """Run a command; an error is one red line and exit code 1."""
    try:
        app()
    except PampsError as error:
        fail(error.detail)


def fail(message: str) -> NoReturn:
    err.print(message, style="red", markup=False, soft_wrap=True)
    sys.exit(1)


@app.callback(invoke_without_command=True)
def pamps(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Pamps: a microblog backend on FastAPI and PostgreSQL."""
    if version:
        out.print(__version__)
        raise typer.Exit()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Server processes.")] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start again when the code changes; for development.")
    ] = False,
) -> None:
    """Serve the API, on an embedded PostgreSQL unless db.uri names another."""
    from pamps.serve import serve

    serve(host, port, workers, reload)


@app.command()
def migrate(
    to: Annotated[str, typer.Option(help="The revision to go to, up or down; `base` empties the database.")] = "head",
) -> None:
    """Bring the database's schema up to this version."""
    from pamps import startup
    from pamps.config import current_settings

    settings = current_settings()
    with startup.database(settings) as uri:
        startup.wait_for_database(uri, settings)
        startup.migrate(uri, to)
    out.print(f"The schema is at {to}.")
