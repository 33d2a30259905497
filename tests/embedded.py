"""The embedded PostgreSQL as the tests handle it: used from other processes, asked, killed, refused, looked at."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from pamps.embedded import programs, running
from pamps.errors import EmbeddedError
from tests.checkout import ROOT
from tests.processes import until
from tests.root import IS_ROOT

DEADLINE = 30  # seconds

# A user of the server in a process of its own: says when it is in, leaves when its input ends.
USER = """
import sys
from pathlib import Path
from pamps.embedded import running
with running(Path(sys.argv[1])) as uri:
    print(uri, flush=True)
    sys.stdin.read()
"""


@contextmanager
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="pamps-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for directory in folder.iterdir():
            stop_what_is_left(directory)
        shutil.rmtree(folder)


def stop_what_is_left(directory: Path) -> None:
    """Stop the server of a test that failed."""
    if server_is_up(directory):
        kill(postmaster(directory), lambda: not server_is_up(directory))


def user(directory: Path, start_new_session: bool = False) -> subprocess.Popen[str]:
    """Another process that uses the server, once it is in."""
    process = start_user(directory, start_new_session)
    assert process.stdout
    assert process.stdout.readline().startswith("postgresql://")
    return process


def start_user(directory: Path, start_new_session: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if start_new_session else None,  # a KeyboardInterrupt is told at length
        text=True,
        start_new_session=start_new_session,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def leaves(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=DEADLINE)
    return process.returncode


def query(uri: str, sql: str) -> object:
    """The first column of the first row, if there is one."""
    connection = psycopg2.connect(uri)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    finally:
        connection.close()


def postmaster(directory: Path) -> int:
    return int((directory / "data/postmaster.pid").read_text().splitlines()[0])


def server_is_up(directory: Path) -> bool:
    command = [str(programs() / "pg_isready"), "-q", "-h", str(directory / "run"), "-p", "5432"]
    return subprocess.run(command, check=False).returncode == 0


def kill(pid: int, gone: Callable[[], bool]) -> None:
    """kill -9, and wait until its effect is there."""
    os.kill(pid, signal.SIGKILL)
    until(gone)


def refusal(directory: Path) -> str:
    """The one line with which `directory` is refused."""
    with pytest.raises(EmbeddedError) as refused, running(directory):
        pass
    assert "\n" not in refused.value.detail
    return refused.value.detail


def snapshot(folder: Path) -> dict[Path, tuple[int, int, int, int]]:
    """Mode, owner and time of everything in a folder, and of the folder itself."""
    seen = {path: path.lstat() for path in [folder, *folder.rglob("*")]}
    return {path: (s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns) for path, s in seen.items()}


def owner_of_data() -> int:
    return pwd.getpwnam("pamps").pw_uid if IS_ROOT else os.geteuid()
