"""What the commands say and ask: results on standard output, an error as one red line on standard error."""

import getpass
import sys
from typing import Any, NoReturn

import typer
from rich.console import Console

from pamps.errors import InvalidRequest, PampsError, Unavailable

PASSWORD_MAX = 4096  # bytes read of standard input; far more than a password may have

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(line: str) -> None:
    """A line of results, as it is: no markup, no wrapping, nothing that a terminal would act upon."""
    out.print(one_line(line), markup=False, emoji=False, soft_wrap=True)


def fail(message: str, code: int = 1) -> NoReturn:
    """One red line, and the end."""
    err.print(one_line(message), style="red", markup=False, emoji=False, soft_wrap=True)
    sys.exit(code)


def one_line(text: Any) -> str:
    """A text that may come from anywhere, without line breaks and without control characters."""
    return "".join(character if character.isprintable() else " " for character in " ".join(str(text).split()))


def explained(error: PampsError) -> str:
    """What happened, and where the database is the matter and nothing else says why, what it said."""
    cause = one_line(error.__cause__ or "")
    if isinstance(error, Unavailable) and error.detail == error.title and cause:
        return f"{error.detail} ({cause})"
    return error.detail


def password(from_stdin: bool) -> str:
    """A password, asked for twice and not shown, or the first line of standard input."""
    if from_stdin:
        return password_from_stdin()
    if not sys.stdin.isatty():
        raise InvalidRequest("there is no terminal to ask for the password: send it with --password-stdin")
    try:
        first = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != first:
            raise InvalidRequest("the two passwords are not the same; nothing was changed")
    except KeyboardInterrupt:
        typer.echo(err=True)  # the cursor still stands behind the question
        raise
    return first


def password_from_stdin() -> str:
    line = sys.stdin.buffer.readline(PASSWORD_MAX).rstrip(b"\r\n")
    if not line:
        raise InvalidRequest("no password came on standard input")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the password on standard input is not UTF-8") from None


def confirmed(question: str, instead: str) -> bool:
    """Whether a question is answered with yes. `instead` is the option that answers it where nobody can."""
    if not sys.stdin.isatty():
        raise InvalidRequest(f"there is no terminal to ask on: say {instead} if you mean it")
    try:
        return out.input(f"{question} [y/N] ", markup=False, emoji=False).strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise
