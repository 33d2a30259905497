"""A Python shell with the tables at hand; run from a pipe, it runs what comes through."""

import code
import importlib.util
import sys
import traceback
from typing import Any

import sqlmodel
from sqlalchemy import Engine

from pamps import models
from pamps.commands.ready import engine_of, ready
from pamps.config import Settings

SCRIPT = "<stdin>"


def interact(settings: Settings) -> None:
    """Talk to whoever is at the terminal, or run the script on standard input. What isn't committed is rolled back."""
    with (
        ready(settings) as uri,
        engine_of(uri, settings) as engine,
        sqlmodel.Session(engine) as session,
    ):
        names = namespace(settings, engine, session)
        if not sys.stdin.isatty():
            run_script(sys.stdin.read(), names)
        elif importlib.util.find_spec("IPython"):
            ipython(names)
        else:
            python(names)


def namespace(settings: Settings, engine: Engine, session: sqlmodel.Session) -> dict[str, Any]:
    tables = {name: getattr(models, name) for name in models.__all__}
    return {
        "__name__": "__main__",
        "session": session,
        "engine": engine,
        "settings": settings,
        "select": sqlmodel.select,
        **tables,
    }


def banner() -> str:
    return (
        "session, engine and settings are there, and select, " + ", ".join(models.__all__) + ". For example:\n"
        "    session.exec(select(User).order_by(User.id)).first()\n"
        "Nothing is written before session.commit()."
    )


def run_script(source: str, names: dict[str, Any]) -> None:
    """Run a script; an error in it is shown as Python shows it, and ends with exit code 1."""
    try:
        exec(compile(source, SCRIPT, "exec"), names)  # nosec B102 # that is what a shell is for
    except BrokenPipeError:
        raise
    except Exception as error:
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(error.with_traceback(frames))
        sys.exit(1)


def python(names: dict[str, Any]) -> None:
    try:
        import readline
        import rlcompleter
    except ImportError:  # not every Python is built with it
        pass
    else:
        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner(), local=names, exitmsg="")


def ipython(names: dict[str, Any]) -> None:
    shell = importlib.import_module("IPython")
    config = importlib.import_module("traitlets.config").Config()
    config.TerminalInteractiveShell.banner1 = banner() + "\n"
    shell.start_ipython(argv=[], user_ns=names, config=config)
