"""A backup: a file in pg_dump's custom format, as pg_restore reads it; which needs no database.

Behind that, where pg_restore does not look, is a checksum of it. A file that pg_dump itself made has none, and will do.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlmodel import SQLModel

import pamps.models  # noqa: F401  # so that the metadata knows every table
from pamps import schema
from pamps.commands.programs import Programs
from pamps.errors import BackupError

REVISION = "alembic_version"
# Those of the first version, so of every other.
TABLES = {REVISION, "user", "social", "session", "post", "like"}
CHECKSUM = b"\nsha256:"  # before its hexadecimal digits and the end of the line
PIECE = 1 << 20  # bytes
ENTRY = re.compile(r"^\d+; \d+ \d+ TABLE DATA \S+ (\S+) ", re.MULTILINE)


def write(content: IO[bytes], file: IO[bytes]) -> None:
    """Write what pg_dump prints, and its checksum."""
    digest = hashlib.sha256()
    for piece in pieces(content):
        file.write(piece)
        digest.update(piece)
    file.write(checksum(digest))


def pieces(file: IO[bytes], size: int = sys.maxsize) -> Iterator[bytes]:
    """The next `size` bytes of a file, or what there is of them."""
    while piece := file.read(min(PIECE, size)):
        yield piece
        size -= len(piece)


def checksum(digest: "hashlib._Hash") -> bytes:
    return CHECKSUM + digest.hexdigest().encode() + b"\n"


class Archive:
    """The file at `path`. All methods raise BackupError where it is not a whole backup of a Pamps that we know."""

    def __init__(self, path: Path, programs: Programs, name: Path | None = None):
        self.path = path
        self.programs = programs
        self.name = name or path

    def verify(self) -> None:
        """See that the file is as it was written, if it has a checksum."""
        digest = hashlib.sha256()
        with self.opened() as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(checksum(digest))))
            _, name, digits = file.read().rpartition(CHECKSUM)
            if not name:
                return
            file.seek(0)
            for piece in pieces(file, size - len(name + digits)):
                digest.update(piece)
        if name + digits != checksum(digest):
            raise BackupError(f"{self.name} has changed since it was written: its checksum is of something else")

    def revision(self) -> str:
        """The schema's revision in it."""
        missing = TABLES - set(ENTRY.findall(self.read("--list")))
        if missing:
            raise BackupError(f"{self.name} isn't a backup of Pamps: {min(missing)} isn't in it")
        found = re.search(
            r"^COPY .*\n(\w+)\n\\\.$", self.read("--data-only", f"--table={REVISION}", "-f-"), re.MULTILINE
        )
        if not found:
            raise BackupError(f"{self.name} isn't a backup of Pamps: it names no revision of the schema")
        return found[1]

    def check(self, revision: str) -> None:
        """See that all of it can be read, and that it holds every table of `revision`."""
        self.verify()
        self.read("-f", "/dev/null")
        if self.revision() != revision:
            raise BackupError(f"the schema was migrated from {revision} meanwhile: try again")
        kept = {table.name for table in SQLModel.metadata.sorted_tables if "UNLOGGED" not in table._prefixes}
        missing = kept - set(ENTRY.findall(self.read("--list")))
        if missing and revision == schema.head():
            raise BackupError(f"{self.name} isn't whole: {min(missing)} isn't in it")

    def read(self, *arguments: str) -> str:
        with self.script(*arguments) as script:
            return script.read().decode(errors="replace")

    @contextmanager
    def script(self, *arguments: str) -> Iterator[IO[bytes]]:
        """What pg_restore makes of the file."""
        with self.opened() as file:
            try:
                with self.programs.running("pg_restore", *arguments, stdin=file) as script:
                    yield script
            except BackupError as error:
                raise BackupError(f"{self.name} can't be read as a backup: {error.detail}") from error

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise BackupError(f"{self.name} can't be read: {error.strerror}") from error
