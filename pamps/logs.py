"""The log: a line for each thing that happens, JSON for programs or text for people, and nothing private in it.

Whatever writes to Python's logging comes through here: Pamps, uvicorn, asyncpg, Alembic. The line that each request
leaves takes a shorter way to the same form.
"""

import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from traceback import format_tb
from typing import Any

import asyncpg
import structlog
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy.exc import StatementError
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict

from pamps.config import Settings

STDERR = 2
REQUEST_ID: ContextVar[str] = ContextVar("the id of the request that is being answered")
# What is found out about a request while it is answered, and left in its scope: the route, who is signed in, which
# problem it is answered with.
ROUTE, USER, CODE = FOUND_OUT = ("route", "pamps.user", "pamps.code")

# What may stand in the message of an error that nobody has foreseen, and must not stand in a log.
PRIVATE = re.compile(
    r"(?P<uri>(?<=://)[^\s/@]+(?=@))"  # the user and the password of a uri
    r"|(?P<email>[\w.+-]+@[\w-]+(\.[\w-]+)+)"
    r"|(?P<token>eyJ[\w-]+\.[\w-]+\.[\w-]*|pamps_\d[\w-]+|(?i:bearer|basic)\s+[\w.~+/=-]+)"
    r"|(?P<secret>(?<![\w/.-])(?=[\w-]*\d)(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{40,})"
)
# For logging's `extra`: a line that is there for what is private in it, such as a mail while there is no mail server.
WHOLE = {"whole": True}
UNSAID = "what it says may quote what was sent"


def without_private(text: str) -> str:
    """A text without the emails, tokens and long random words that stand in it."""
    return PRIVATE.sub(lambda found: f"({found.lastgroup})", text)


def said(error: BaseException) -> str:
    """What an error says, but for the values that it quotes.

    Of PostgreSQL's errors DETAIL quotes rows, and so does the message of a data exception (class 22).
    """
    if isinstance(error, StatementError) and error.orig:
        return said(error.orig)
    if isinstance(error, ValidationError | asyncpg.exceptions._base.DataError):
        return UNSAID
    if state := getattr(error, "sqlstate", None) or getattr(error, "pgcode", None):  # asyncpg's, psycopg2's
        diagnostics = getattr(error, "diag", None)
        message = diagnostics.message_primary if diagnostics else getattr(error, "message", "")
        return f"{UNSAID if state.startswith('22') else message} (SQLSTATE {state})"
    return without_private(str(error))


def traced(error: BaseException) -> list[str]:
    """The lines of a traceback, with what each error says as `said` has it."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [*traced(before), "and then:"] if before else []
    lines += "".join(format_tb(error.__traceback__)).splitlines()
    kind = type(error)
    lines.append(f"{kind.__module__}.{kind.__qualname__}: {said(error)}".removeprefix("builtins."))
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        lines += [f"  | {line}" for line in traced(inner)]
    return lines


class Timed:
    """Adds the level, and the time in UTC, to the millisecond (RFC 3339), in a third of the time of structlog's own."""

    def __init__(self) -> None:
        self.second = 0
        self.beginning = ""

    def __call__(self, logger: Any, level: str, event: EventDict) -> EventDict:
        now = time.time()
        second = int(now)
        if second != self.second:
            self.second, self.beginning = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        event["level"] = level
        event["time"] = f"{self.beginning}.{int((now - second) * 1000):03}Z"
        return event


def told(logger: Any, level: str, event: EventDict) -> EventDict:
    """What happened, without what is private; in which request; and the traceback."""
    if not getattr(event.get("_record"), "whole", False):
        event["event"] = without_private(str(event["event"])).strip()
    if request_id := REQUEST_ID.get(""):
        event["id"] = request_id
    trouble = event.pop("exc_info", None)
    if isinstance(trouble, tuple) and trouble[1]:
        event["exception"] = "\n".join(traced(trouble[1]))
    return event


def as_json(logger: Any, level: str, event: EventDict) -> bytes:
    return to_json(event)


def for_people() -> ConsoleRenderer:
    # Its own way with tracebacks would show what the variables hold.
    return ConsoleRenderer(
        colors=sys.stderr.isatty(),
        timestamp_key="time",
        exception_formatter=plain_traceback,
        pad_event_to=0,
        sort_keys=False,
    )


def as_text(people: ConsoleRenderer) -> Callable[[EventDict], bytes]:
    return lambda event: people(None, "info", event).encode()


class Lines(ProcessorFormatter):
    """Formats what was written to Python's logging."""

    def __init__(self, json: bool):
        last: list[Any] = [lambda *event: as_json(*event).decode()] if json else [for_people()]
        super().__init__(
            processors=[ProcessorFormatter.remove_processors_meta, *last],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, Timed(), told],
        )

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.args, tuple):
            record.args = tuple(said(one) if isinstance(one, BaseException) else one for one in record.args)
        return super().format(record)


class InOneLine(logging.Filter):
    """Of the traceback of an error of ours that keeps the application from starting, only what it says."""

    def filter(self, record: logging.LogRecord) -> bool:
        last = record.getMessage().rstrip().rpartition("\n")[2]
        if last.startswith("pamps.errors."):
            record.msg, record.args = last.partition(": ")[2], ()
        return True


def configuration(settings: Settings) -> dict[str, Any]:
    """For logging.config.dictConfig, in this process and in those that uvicorn starts."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"in_one_line": {"()": InOneLine}},
        "formatters": {"lines": {"()": Lines, "json": settings.log_as_json}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": settings.log.level.upper()},
        "loggers": {
            "uvicorn.error": {"filters": ["in_one_line"]},
            # While the database is away it would add a stack trace each time to the line that each 503 leaves.
            "asyncpg": {"level": "ERROR"},
            # What it says of one mail, delivery.py says too.
            "pgqueuer": {"level": "ERROR"},
            # Alembic tells of its plugins, and of the kind of database, each time that it looks at one.
            "alembic.runtime.plugins": {"level": "WARNING"},
        },
    }


class RequestLog:
    """The lines of requests. Those of one turn of the event loop go out together.

    So a log that can't be written, because its disk is full, fails no request. They go through structlog's processors,
    but not through its logger, which would take longer to hand an event on than all else that is done with it.
    """

    def __init__(self, json: bool):
        self.timed = Timed()
        self.rendered: Callable[[EventDict], bytes] = to_json if json else as_text(for_people())
        self.lines: list[bytes] = []

    def add(self, event: EventDict) -> None:
        event["event"] = "request"
        if not self.lines:
            asyncio.get_running_loop().call_soon(self.write)
        self.lines.append(self.rendered(self.timed(None, "info", event)))

    def write(self) -> None:
        text = b"\n".join([*self.lines, b""])
        self.lines.clear()
        while text:
            text = text[os.write(STDERR, text) :]


def of_requests(settings: Settings) -> RequestLog | None:
    """Where each request leaves its line; None if it is to leave none."""
    if not settings.log.requests or settings.log.level not in ("debug", "info"):
        return None
    return RequestLog(settings.log_as_json)
