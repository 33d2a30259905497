"""`pamps` run as a command on a database of its own, from an empty folder that is its home as well."""

import subprocess
from pathlib import Path
from typing import Any

import psycopg2

from pamps.db import drivers
from tests.processes import environment, pamps

CHEAP = {"security__argon2_memory": 8, "security__argon2_passes": 1}


class Commands:
    """The commands, and the database that they work on."""

    def __init__(self, uri: str, folder: Path):
        self.uri = uri
        self.folder = folder
        self.settings: dict[str, Any] = {"db__uri": uri, **CHEAP}

    @classmethod
    def embedded(cls, folder: Path) -> "Commands":
        """On an embedded database in `folder`, that is still to be made."""
        (folder / "home").mkdir()
        commands = cls("", folder / "home")
        commands.settings["db__embedded_dir"] = folder / "db"
        return commands

    @property
    def database(self) -> str:
        """The name of the database."""
        return str(self.sql("SELECT current_database()")[0][0])

    def environment(self, **settings: Any) -> dict[str, str]:
        """Settings for a test, and none of those around it."""
        return environment(**{**self.settings, **settings}) | {"HOME": str(self.folder)}

    def run(self, *arguments: str, stdin: str = "", **settings: Any) -> subprocess.CompletedProcess[str]:
        return pamps(*arguments, cwd=self.folder, env=self.environment(**settings), stdin=stdin)

    def __call__(self, *arguments: str, stdin: str = "", **settings: Any) -> str:
        """What a command prints that does what it is told."""
        done = self.run(*arguments, stdin=stdin, **settings)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refused(self, *arguments: str, code: int = 1, stdin: str = "", **settings: Any) -> str:
        """The one line of a command that doesn't."""
        done = self.run(*arguments, stdin=stdin, **settings)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done
        return done.stderr.removesuffix("\n")

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        connection = psycopg2.connect(drivers.asyncpg_uri(self.uri))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                return [] if cursor.description is None else cursor.fetchall()
        finally:
            connection.close()

    def add_users(self, count: int) -> None:
        """Users u1, u2, ..., past the API."""
        self.sql(
            """INSERT INTO "user" (email, username, password_hash)
            SELECT format('u%%s@example.com', n), format('u%%s', n), '' FROM generate_series(1, %s) AS n""",
            count,
        )
