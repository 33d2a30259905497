"""PostgreSQL servers that a test may stop, freeze and kill: in directories of the embedded one."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2

from pamps.embedded import running
from tests.processes import until


class Cluster:
    """A server in a directory of its own, down at first; for as long as it is entered."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.uses = ExitStack()
        self.uri = ""

    def start(self) -> str:
        """Start the server: its uri."""
        self.uri = self.uses.enter_context(running(self.directory))
        return self.uri

    def leave(self) -> None:
        """Let go of it; it stops if nobody else uses it."""
        self.uses.close()

    @property
    def pid(self) -> int:
        return int((self.directory / "data" / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        """As an administrator does: connections are ended, and the server in order."""
        os.kill(self.pid, signal.SIGINT)
        until(lambda: not (self.directory / "data" / "postmaster.pid").exists())

    def kill(self) -> None:
        """As the kernel does when memory runs out. Its processes end when they notice."""
        os.kill(self.pid, signal.SIGKILL)
        until(lambda: not self.answers())

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still, as a machine does whose disk does not answer: nothing is refused, nothing is answered."""
        pids = [self.pid, *(int(pid) for pid in self.column("SELECT pid FROM pg_stat_activity"))]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def column(self, query: str) -> list[Any]:
        """The first column of a query's rows."""
        connection = psycopg2.connect(self.uri)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query)
                return [row[0] for row in cursor.fetchall()]
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            psycopg2.connect(self.uri, connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True
