"""Services that mail by a server of the test's own, and what their queue holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from pamps.db import drivers
from tests.mailbox import Mailbox
from tests.processes import STRONG_SECRET, Server, environment, serving

MAIL = {
    "mail__host": "127.0.0.1",
    "mail__tls": "none",
    "mail__sender": "pamps@example.org",
    "mail__base_url": "https://app.example.com",
    "mail__retry_seconds": 0.2,
    "mail__resend_minutes": 0,
    "security__secret_key": STRONG_SECRET,
}


class Place:
    """A database, and services on it that mail by a server."""

    def __init__(self, uri: str, folder: Path):
        self.uri = uri
        self.folder = folder

    @contextmanager
    def serving(self, mailbox: Mailbox, *arguments: str, **settings: Any) -> Iterator[Server]:
        env = environment(db__uri=self.uri, **{**MAIL, "mail__port": mailbox.port, **settings})
        with serving(self.folder, env, *arguments) as server:
            yield server

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(drivers.asyncpg_uri(self.uri))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def jobs(self) -> list[tuple[str, int]]:
        """The state of each mail in the queue, and how often it was tried again."""
        found: list[tuple[str, int]] = self.sql("SELECT status::text, attempts FROM pgqueuer ORDER BY id")
        return found


def ask(server: Server, headers: dict[str, str]) -> None:
    """Ask for a mail."""
    assert server.request("POST", "/user/me/email/verification/", headers=headers).status_code == 202
