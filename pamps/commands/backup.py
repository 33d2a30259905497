"""Writing a backup: the database as it is at one moment, whole and checked, or no file at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pamps import schema, startup
from pamps.commands import archive
from pamps.commands.programs import connection_string, programs_for
from pamps.commands.ready import engine_of, in_one_line
from pamps.config import Settings
from pamps.errors import BackupError


def back_up(settings: Settings, path: Path, force: bool) -> str:
    """Write the database to `path`, readable by its owner alone; `force` replaces a file that is there.

    The revision of the schema in it. The service may go on writing: what is in the file is of one moment.
    Raises EmbeddedError, DatabaseUnavailable, BackupError.
    """
    refuse_place(path, force)
    with startup.database(settings) as uri:
        with engine_of(uri, settings) as engine, in_one_line(), engine.connect() as connection:
            revision = schema.current_within(connection)
            server = connection.exec_driver_sql(
                "SELECT current_setting('server_version_num')::int / 10000"
            ).scalar_one()
        if revision is None:
            raise BackupError("the database has no tables of Pamps, so there is nothing to back up")
        programs = programs_for("pg_dump", uri, settings, server=server)
        # What is unlogged a crash may empty, and a standby never has: it is in no backup.
        kind = ("--format=custom", "--encoding=UTF8", "--no-unlogged-table-data")
        options = (*kind, "--no-password", "--dbname", connection_string(uri))
        with written(path, force) as (file, new):
            # Through a pipe: pg_dump appends its table of contents to a file of somebody else's a second time.
            with programs.running("pg_dump", *options) as printed:
                archive.write(printed, file)
            file.flush()
            archive.Archive(new, programs, name=path).check(revision)
    return revision


def refuse_place(path: Path, force: bool) -> None:
    """Stop where no backup can be written, or only over another file."""
    if path.exists() and not path.is_file():
        raise BackupError(f"{path} isn't a file")
    if path.exists() and not force:
        raise BackupError(f"{path} is there already: name another file, or say --force to replace it")


@contextmanager
def written(path: Path, force: bool) -> Iterator[tuple[IO[bytes], Path]]:
    """A file beside `path`, and its name, that takes the place of `path` once it is whole and on the disk.

    Only one that was killed outright is left behind: .NAME.*.part
    """
    try:
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # of mode 0600
    except OSError as error:
        raise BackupError(f"{path} can't be written: {(error.strerror or str(error)).lower()}") from error
    new = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file, new
            os.fsync(fd)
        take_place(new, path, force)
    except OSError as error:
        raise BackupError(f"{path} can't be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def take_place(new: Path, path: Path, force: bool) -> None:
    """Give a file its name, and see that this outlives a crash too."""
    refuse_place(path, force)  # it may have come meanwhile
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
