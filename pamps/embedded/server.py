"""The embedded PostgreSQL server: made, started, joined and stopped by way of its own programs (see __init__.py)."""

import os
import re
import secrets
import shutil
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from pamps.embedded.account import Account, programs_for
from pamps.embedded.home import ELSEWHERE, Home, user_name
from pamps.errors import EmbeddedError

NAME = "pamps"  # the role and the database
PORT = 5432  # names the socket; nothing listens on TCP
ROOM_FOR_DATA = 100_000_000  # bytes; a new cluster takes 40 MB, half of it the first WAL file
ROOM_TO_WORK = 4_000_000  # bytes
LOG_LIMIT = 10_000_000  # bytes
START_TIMEOUT = 120  # seconds; after a crash, the WAL of at most max_wal_size is replayed first
STOP_TIMEOUT = 60  # seconds
PASSING_TIMEOUT = 15  # seconds
LEFTOVERS = ("data.new.", ".programs-", "programs-")

# pg_isready's exit codes.
ACCEPTING, BUSY = 0, 1
# A server that another Pamps was starting or stopping when it was killed; it is gone or up in a moment.
PASSING = re.compile(r"lock file .* already exists|pre-existing shared memory block")

INITDB = (
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"),
    *("--data-checksums", "--auth=scram-sha-256", "--no-instructions"),
)
# Where a cluster starts from; they can be changed in data/postgresql.conf.
SETTINGS = {
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    # Refused statements are daily bread (a username that is taken): a line each in the log, not their whole text.
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}
# What always holds. Relative to data/, so that no character of the path needs quoting in it.
FIXED = f"-c listen_addresses='' -c unix_socket_directories=../run -c unix_socket_permissions=0700 -c port={PORT}"

MAKE_DATABASE = f"""
SELECT 'CREATE DATABASE {NAME}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{NAME}') \\gexec
"""  # nosec B608 # a name of ours


class Server:
    """The server in a directory, as one of its users sees it."""

    def __init__(self, home: Home, account: Account, wheel: Path):
        self.home = home
        self.account = account
        self.programs = wheel
        self.password = ""  # nosec B105 # until it is read
        self.users = -1  # the descriptor that counts us

    @property
    def uri(self) -> str:
        # The port is named, or PGPORT in the environment would decide.
        host = quote(str(self.home.path / "run"), safe="")
        return f"postgresql://{NAME}:{self.password}@/{NAME}?host={host}&port={PORT}"

    def join(self) -> None:
        """Become a user of the server: started if it isn't up, with the database in it."""
        with self.home.locked():
            self.programs = programs_for(self.account, self.programs, self.home.path)
            self.users = self.home.use()
            try:
                self.start_if_down()
                try:
                    self.make_database()
                except EmbeddedError:
                    if self.answer() == ACCEPTING:
                        raise
                    self.start_if_down()  # it was killed between the two
                    self.make_database()
            except BaseException:
                with suppress(EmbeddedError):
                    self.release()
                raise

    def leave(self) -> None:
        with self.home.locked():
            self.release()

    def release(self) -> None:
        """Be a user no more, and stop the server if there is none left. The lock is held."""
        os.close(self.users)
        # Only one that answers, and here: the pid in an old postmaster.pid, or another container's, may be anybody's.
        if self.home.unused() and self.answer() in (ACCEPTING, BUSY) and not self.pid_is_free():
            done = self.run("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w", "-t", str(STOP_TIMEOUT))
            if done.returncode:
                raise EmbeddedError(f"the PostgreSQL in {self.home.path} doesn't stop: {cause(done.stderr)}")

    @property
    def data(self) -> Path:
        return self.home.path / "data"

    def run(
        self, program: str, *arguments: str | Path, env: dict[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's account."""
        return self.account.run(self.programs / program, *arguments, cwd=self.home.path, env=env, stdin=stdin)

    def answer(self) -> int:
        """What the server says at its socket: ACCEPTING, BUSY (starting or stopping), or nothing."""
        return self.run("pg_isready", "-q", "-h", self.home.path / "run", "-p", str(PORT), "-t", "10").returncode

    def start_if_down(self) -> None:
        """Bring the server up, having waited for one that is on its way up or down."""
        self.password = self.home.read("password")
        if not self.password and self.home.status("data"):
            raise EmbeddedError(
                f"{self.home.path / 'password'} is missing, and nobody gets into the PostgreSQL there without it: "
                f"put it back, or move {self.data} away to begin anew"
            )
        began = time.monotonic()
        while (answer := self.answer()) != ACCEPTING:
            problem, patience = "it neither comes up nor goes away", START_TIMEOUT
            if answer != BUSY:
                if not (problem := self.start()):
                    return
                patience = PASSING_TIMEOUT if PASSING.search(problem) else 0
                if patience and self.pid_is_free():
                    self.account.run("rm", "-f", self.data / "postmaster.pid")
            if time.monotonic() - began >= patience:
                raise EmbeddedError(f"the PostgreSQL in {self.home.path} doesn't start: {problem}")
            time.sleep(0.1)

    def start(self) -> str:
        """Start the server, made first if there is none. What kept it from starting, or nothing if it is up."""
        if self.home.status("data"):
            self.check_data()
        self.sweep()
        if not self.home.status("data"):
            self.make_data()
        self.home.make_folder("run")
        log, before = self.home.path / "log", self.log_size()
        arguments = ("-D", self.data, "-l", log, "-o", FIXED, "-w", "-t", str(START_TIMEOUT))
        done = self.run("pg_ctl", "start", *arguments)
        if done.returncode == 0:
            return ""
        return self.explain(self.account.run("tail", "-c", f"+{before + 1}", log).stdout or done.stderr)

    def sweep(self) -> None:
        """Remove what killed starts and replaced versions left, and set a large log aside. The server is down."""
        for name in self.home.names():
            if name.startswith(LEFTOVERS) and self.home.path / name not in self.programs.parents:
                self.home.remove(name)
        if self.log_size() > LOG_LIMIT:
            os.rename("log", "log.old", src_dir_fd=self.home.fd, dst_dir_fd=self.home.fd)

    def log_size(self) -> int:
        """In bytes."""
        log = self.home.status("log")
        return log.st_size if log else 0

    def make_data(self) -> None:
        """Make the database cluster beside its place, and move it there when it is whole."""
        free = shutil.disk_usage(self.home.path).free
        if free < ROOM_FOR_DATA:
            raise EmbeddedError(
                f"{self.home.path}: no space left for a database, {free // 10**6} MB free and "
                f"{ROOM_FOR_DATA // 10**6} MB needed: make room, or {ELSEWHERE}"
            )
        self.password = self.home.keep("password", lambda: secrets.token_urlsafe(32))
        # A new name each time: the initdb of a Pamps that was killed may still be at work on its own.
        new = f"data.new.{secrets.token_hex(8)}"
        settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
        try:
            pwfile = f"--pwfile={self.home.path / 'password'}"
            done = self.run("initdb", "-D", self.home.path / new, "-U", NAME, pwfile, *INITDB, *settings)
            if done.returncode:
                raise EmbeddedError(f"the PostgreSQL in {self.home.path} can't be made: {self.explain(done.stderr)}")
            os.rename(new, "data", src_dir_fd=self.home.fd, dst_dir_fd=self.home.fd)
            os.fsync(self.home.fd)
        finally:
            self.home.remove(new)

    def check_data(self) -> None:
        """Refuse data that these programs can't run on, untouched."""
        data = self.home.status("data")
        if not data or not stat.S_ISDIR(data.st_mode) or data.st_uid != self.account.uid:
            owner = user_name(self.account.uid)
            raise EmbeddedError(
                f"{self.data} isn't a folder of {owner}: see whose it is, and chown -R it if it's yours"
            )
        made_by = self.account.run("cat", self.data / "PG_VERSION").stdout.strip()
        version = self.run("postgres", "--version").stdout.split()[-1]
        if made_by != version.partition(".")[0]:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {made_by or '(no PG_VERSION)'} and this is {version}: dump it "
                f"with the version that made it, move {self.data} away, and load the dump with this one"
            )

    def make_database(self) -> None:
        """See that the database is there; shows as well that the server is the one that our password opens."""
        env = {"PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "10"}
        connection = ("-h", self.home.path / "run", "-p", str(PORT), "-U", NAME, "-d", "postgres")
        done = self.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *connection, env=env, stdin=MAKE_DATABASE)
        if done.returncode:
            raise EmbeddedError(f"the PostgreSQL in {self.home.path} can't be used: {self.explain(done.stderr)}")

    def pid_is_free(self) -> bool:
        """Whether the process that postmaster.pid names is provably not the server: dead, or one that works elsewhere.

        A postmaster's working directory is data/ from before it writes that file. Where there is no /proc, nothing is
        provable, and PostgreSQL has the last word. A dead one stays a zombie where PID 1 isn't an init.
        """
        pid = self.account.run("cat", self.data / "postmaster.pid").stdout.partition("\n")[0]
        try:
            process = Path("/proc") / str(int(pid))
            zombie = "\nState:\tZ" in process.joinpath("status").read_text()
            return zombie or not os.path.samestat(process.joinpath("cwd").stat(), self.data.stat())
        except (OSError, ValueError):
            return False

    def explain(self, said: str) -> str:
        """What the programs' output or log comes down to; they can't write it down when the disk is full."""
        if shutil.disk_usage(self.home.path).free < ROOM_TO_WORK:
            return f"the disk of {self.home.path} is full: make room and start again"
        return f"{cause(said)} ({self.home.path / 'log'} has more)" if self.log_size() else cause(said)


def cause(said: str) -> str:
    """The line that matters in the output or the log of PostgreSQL's programs."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = re.search(r"(?:FATAL|PANIC|ERROR|error): +(.+)", said)
    return telling[1] if telling else lines[-1] if lines else "it doesn't say why"
