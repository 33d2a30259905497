"""PostgreSQL's own programs, pg_dump and pg_restore: found, and run on the database that Pamps works on."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from psycopg2.extensions import make_dsn, parse_dsn

from pamps import embedded
from pamps.config import Settings
from pamps.db import drivers
from pamps.embedded.account import Account, Stream
from pamps.embedded.server import cause
from pamps.errors import BackupError, EmbeddedError

HOW_TO_GET = "pip install pamps[embedded], or install PostgreSQL's client programs"


class Programs:
    """A folder of the programs, and the account and the environment that they run in."""

    def __init__(self, folder: Path, account: Account, env: dict[str, str]):
        self.folder = folder
        self.account = account
        self.env = env

    @contextmanager
    def running(self, program: str, *arguments: str, stdin: Stream = subprocess.DEVNULL) -> Iterator[IO[bytes]]:
        """What a program prints. It has ended well when this ends, and is killed where this ends by an error.

        Raises BackupError with what the program said.
        """
        with tempfile.TemporaryFile() as said:
            command: list[str | Path] = [self.folder / program, *arguments]
            with self.account.start(*command, stdin=stdin, stderr=said, env=self.env) as process:
                try:
                    assert process.stdout
                    yield process.stdout
                except BaseException:
                    process.kill()
                    raise
            if process.returncode:
                said.seek(0)
                raise BackupError(cause(said.read().decode(errors="replace")))

    def output(self, program: str, *arguments: str, stdin: Stream = subprocess.DEVNULL) -> str:
        """What a program prints."""
        with self.running(program, *arguments, stdin=stdin) as printed:
            return printed.read().decode(errors="replace")

    def version(self, program: str) -> tuple[int, int]:
        """The version of PostgreSQL that a program is of; zeros if it can't be run."""
        try:
            found = re.search(r"(\d+)(?:\.(\d+))?", self.output(program, "--version"))
        except (OSError, BackupError):
            found = None
        return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def programs_for(program: str, uri: str, settings: Settings, server: int = 0) -> Programs:
    """Programs for the database at `uri`: those of its embedded server, or the most fit of the wheel's and PATH's.

    To talk to a `server` (a major version), that is the oldest that is not older: a newer one does not know all
    that the server's later minor versions have. To read a file, it is the newest. Raises BackupError.
    """
    if not settings.db.uri:
        account, folder = embedded.programs_of(settings.db.directory)
        return Programs(folder, account, password_of(uri))
    # They take what libpq takes: certificates below HOME, PGSSLROOTCERT and the like.
    env = {name: value for name, value in os.environ.items() if name == "HOME" or name.startswith("PG")}
    env |= password_of(uri)
    here = [Programs(folder, Account(os.geteuid(), os.getegid()), env) for folder in folders(program)]
    versions = {version: found for found in here if (version := found.version(program)) > (0, 0)}
    if not versions:
        raise BackupError(f"there is no {program} on this machine: {HOW_TO_GET}")
    newest = max(versions)
    if newest[0] < server:
        raise BackupError(
            f"the database is PostgreSQL {server}, and the {program} on this machine is of {newest[0]}: {HOW_TO_GET}"
        )
    fit = min(major for major, _ in versions if major >= server) if server else newest[0]
    return versions[max(version for version in versions if version[0] == fit)]


def folders(program: str) -> list[Path]:
    """Where a program may be: in the embedded wheel, on PATH."""
    found = []
    with suppress(EmbeddedError):
        found.append(embedded.programs())
    if on_path := shutil.which(program):
        found.append(Path(on_path).parent)
    return found


def connection_string(uri: str) -> str:
    """A uri as the programs take it, without its passwords: other users of the machine see command lines."""
    known = parse_dsn(drivers.asyncpg_uri(uri))
    return str(make_dsn(**{name: value for name, value in known.items() if name not in ("password", "sslpassword")}))


def password_of(uri: str) -> dict[str, str]:
    """The password of a uri, for the environment of a program."""
    password = parse_dsn(drivers.asyncpg_uri(uri)).get("password")
    return {"PGPASSWORD": password} if password else {}
