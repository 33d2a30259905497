"""The directory of the embedded PostgreSQL: whose it is, the secrets kept in it, and the locks held on it.

Root works in a directory that belongs to another account. So every file is reached through the opened directory by its
bare name, never through a symbolic or a hard link that may have been planted there. A secret is written beside its
place and then renamed into it: after a crash it is there whole or not at all.
"""

import errno
import fcntl
import os
import pwd
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pamps.embedded.account import Account
from pamps.errors import EmbeddedError

# Held exclusively while the server is made, started or stopped. The first file made, it also marks a directory as ours.
LOCK = ".pamps.lock"
# Held shared by everybody who uses the server. The kernel lets go of both when their holder dies, however it dies.
USERS = ".users.lock"
SOCKET_MAX_LENGTH = 103 if sys.platform == "darwin" else 107  # bytes; sys/un.h, unix(7)
# What an empty file system has of its own.
NOT_OURS_NOR_OTHERS = {"lost+found"}
ELSEWHERE = "set db.embedded_dir to a folder that Pamps can have to itself"


class Home:
    """The opened directory. Every method may raise OSError; `open_home` turns that into one line."""

    def __init__(self, path: Path, fd: int):
        self.path = path
        self.fd = fd

    def check(self, owners: set[int]) -> None:
        """Refuse a directory of somebody else, or with something else in it; changes nothing."""
        owner = os.fstat(self.fd).st_uid
        if owner not in owners:
            raise EmbeddedError(
                f"{self.path} belongs to {user_name(owner)}, not to {user_name(max(owners))}: {ELSEWHERE}"
            )
        found = set(self.names()) - NOT_OURS_NOR_OTHERS
        if found and LOCK not in found:
            raise EmbeddedError(f"{self.path} has other things in it ({min(found)}): {ELSEWHERE}")

    def names(self) -> list[str]:
        return os.listdir(self.fd)  # noqa: PTH208 (by the descriptor, whatever the path has come to mean)

    def give_to(self, account: Account) -> None:
        """Make the directory `account`'s own, and nobody else's. Its files follow when they are opened."""
        if os.fstat(self.fd).st_uid != account.uid:
            os.fchown(self.fd, account.uid, account.gid)
        if stat.S_IMODE(os.fstat(self.fd).st_mode) != 0o700:
            os.fchmod(self.fd, 0o700)

    def open(self, name: str, flags: int) -> int:
        """The descriptor of a plain file of ours, made 0600 if `flags` say so."""
        # O_NONBLOCK: a planted pipe must not make us wait.
        refused = EmbeddedError(f"{self.path / name} isn't a file that Pamps made: see what it is, and remove it")
        try:
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        except OSError as error:
            raise refused if error.errno == errno.ELOOP else error from None
        file, home = os.fstat(fd), os.fstat(self.fd)
        if not stat.S_ISREG(file.st_mode) or file.st_nlink > 1 or file.st_uid not in (home.st_uid, os.geteuid()):
            os.close(fd)
            raise refused
        if file.st_uid != home.st_uid:
            os.fchown(fd, home.st_uid, home.st_gid)
        return fd

    def read(self, name: str) -> str:
        """The text of a file, stripped; empty if there is none."""
        try:
            fd = self.open(name, os.O_RDONLY)
        except FileNotFoundError:
            return ""
        with os.fdopen(fd, encoding="utf-8", errors="replace") as file:
            return file.read().strip()

    def keep(self, name: str, make: Callable[[], str]) -> str:
        """The secret in file `name`; made once, by whoever holds the lock."""
        if found := self.read(name):
            return found
        new = f".{name}.new"
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=self.fd)
        with os.fdopen(self.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w", encoding="utf-8") as file:
            file.write((secret := make()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        os.fsync(self.fd)
        return secret

    def make_folder(self, name: str) -> None:
        """A folder inside, its owner's alone; checked if it is already there."""
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.fd)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd)
        try:
            home = os.fstat(self.fd)
            Home(self.path / name, fd).give_to(Account(home.st_uid, home.st_gid))
        finally:
            os.close(fd)

    def remove(self, name: str) -> None:
        """Remove a folder inside, if it can be: what is left is only a waste of space."""
        shutil.rmtree(name, ignore_errors=True, dir_fd=self.fd)

    def status(self, name: str) -> os.stat_result | None:
        """What lies at `name`, a link not followed; None if nothing does."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all processes and threads; waits for its turn."""
        fd = self.open(LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def use(self) -> int:
        """A descriptor that counts as a user of the server for as long as it is open."""
        fd = self.open(USERS, os.O_RDWR | os.O_CREAT)
        fcntl.flock(fd, fcntl.LOCK_SH)
        return fd

    def unused(self) -> bool:
        """Whether nobody uses the server. Only means something to whoever holds the lock."""
        fd = self.open(USERS, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True


@contextmanager
def in_one_line(directory: Path) -> Iterator[None]:
    """What the operating system refuses below, as an EmbeddedError that names the path."""
    try:
        yield
    except OSError as error:
        where = directory / os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else directory
        raise EmbeddedError(f"{where}: {(error.strerror or str(error)).lower()}; {ELSEWHERE}") from error


@contextmanager
def open_home(path: Path, account: Account | None) -> Iterator[Home]:
    """The directory at `path`, made if new; checked, and `account`'s own if one is given.

    Raises EmbeddedError, having changed nothing, if it isn't Pamps's to use.
    """
    with in_one_line(path):
        make_path(path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except NotADirectoryError:
            raise EmbeddedError(f"{path} is a file or a symbolic link, not a folder: {ELSEWHERE}") from None
    try:
        home = Home(path, fd)
        with in_one_line(path):
            home.check({os.geteuid(), account.uid if account else os.geteuid()})
            home.give_to(account or Account(os.fstat(fd).st_uid, os.fstat(fd).st_gid))
        yield home
    finally:
        os.close(fd)


def make_path(path: Path) -> None:
    """Make the folder and the missing ones above it: itself 0700, the others to be passed through."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:  # whatever root's umask is, the account has to get through
            folder.chmod(0o755)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def refuse_path(socket: Path) -> None:
    """Refuse a directory whose socket, so many bytes long, can't be, or can't be written into a connection string."""
    directory = socket.parents[1]
    over = len(os.fsencode(socket)) - SOCKET_MAX_LENGTH
    if over > 0:
        raise EmbeddedError(f"{directory} is {over} bytes too long a path for a Unix socket inside: {ELSEWHERE}")
    # libpq takes a comma for the end of a host; pg_ctl hands the path to a shell in double quotes.
    if not str(directory).isprintable() or set(str(directory)) & set(',"$`\\'):
        raise EmbeddedError(f"{str(directory)!r} has a character that PostgreSQL can't have in a path: {ELSEWHERE}")
