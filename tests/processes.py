"""`pamps` as its users run it: in a process of its own, seen from outside."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import Any, TypeVar

import httpx2
import pytest

from tests import forks
from tests.checkout import ROOT
from tests.complaints import complaints
from tests.factories import PASSWORD

DEADLINE = 60.0  # seconds; for what takes a few at most
FROM_SOURCE = (sys.executable, "-m", "pamps")
HERE = {"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
STRONG_SECRET = "q8ZtVb2Lx0Rk6YwNd4Jh1MfGp7Cs3Ae5"  # 32 characters, fit for production

Found = TypeVar("Found")
Process = subprocess.Popen[bytes] | forks.Forked


def until(what: Callable[[], Found], deadline: float = DEADLINE, every: float = 0.05) -> Found:
    """What `what` gives, once it is true; fails the test if that takes too long."""
    end = time.monotonic() + deadline
    while not (found := what()):
        assert time.monotonic() < end, f"not within {deadline} seconds"
        time.sleep(every)
    return found


def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting out of this process's own environment."""
    for name in list(os.environ):
        if name.startswith(("PAMPS_", "XDG_")):
            monkeypatch.delenv(name)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A new folder with a short path, which a socket's has to be, that the embedded server's account can enter."""
    with tempfile.TemporaryDirectory(prefix="pamps-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def environment(**settings: Any) -> dict[str, str]:
    """A bare environment with these settings: `db__uri="..."`. None of the settings around the tests leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    named = {f"PAMPS_{name}": str(value) for name, value in settings.items()}
    return kept | HERE | named


def pamps(
    *arguments: str,
    cwd: Path,
    env: dict[str, str] | None = None,
    stdin: str = "",
    command: tuple[str, ...] = FROM_SOURCE,
) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    with TemporaryFile("w+") as told, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        told.write(stdin)
        told.seek(0)
        process = start([*command, *arguments], cwd, env or environment(), (told, out, err))
        try:
            code = process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def benchmark(program: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A program of the benchmarks, run to its end."""
    return subprocess.run(
        [ROOT / "benchmarks" / program, *arguments],
        cwd=cwd,
        env=environment() | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def start(
    command: list[str],
    cwd: Path,
    env: dict[str, str],
    streams: forks.Streams,
    at_a_terminal: bool = False,
    fresh: bool = False,
) -> Process:
    """Start a command: forked, where it is `pamps` out of this source in an environment like that of the tests."""
    like_ours = all(env.get(name) == value for name, value in HERE.items())
    if forks.in_use and like_ours and not fresh and tuple(command[: len(FROM_SOURCE)]) == FROM_SOURCE:
        return forks.fork(command[len(FROM_SOURCE) :], cwd, env, streams, at_a_terminal)
    stdin, stdout, stderr = streams
    before = partial(forks.lead, stdin.fileno()) if at_a_terminal else None
    return subprocess.Popen(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, preexec_fn=before)


class Server:
    """A running `pamps serve`: its process, its address, what it has said."""

    def __init__(self, process: Process, log: Path, patience: float = DEADLINE):
        self.process = process
        self.log = log
        self.patience = patience
        self.expected: set[str] = set()
        # Nobody here speaks TLS, and to read the certificates of all authorities takes as long as some requests.
        self.http = httpx2.Client(timeout=DEADLINE, verify=False)

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def complaints(self) -> list[str]:
        """What went wrong on our side, as far as it has said so."""
        return complaints(self.output)

    def wait_until(self, what: Callable[[], Found]) -> Found:
        """What `what` gives, once it is true; fails the test if the process ends before."""

        def found() -> Found:
            assert self.process.poll() is None, f"pamps ended with {self.process.returncode}:\n{self.output}"
            return what()

        return until(found, self.patience)

    @cached_property
    def url(self) -> str:
        """Its address, as soon as it has said it."""
        said = self.wait_until(lambda: re.findall(r"""serves on (http://[^\s"]+)""", self.output))
        return str(said[0])

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self.http.request(method, self.url + path, **options)

    def get(self, path: str) -> httpx2.Response:
        return self.request("GET", path)

    def status(self, path: str) -> int:
        """The status of a GET; 0 if there is none."""
        try:
            return self.http.get(self.url + path, timeout=5).status_code
        except httpx2.TransportError:
            return 0

    def problem(self, path: str) -> tuple[int, str, str]:
        """The status, the code and Retry-After of the error that a GET gives."""
        answer = self.get(path)
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code, answer.json()["code"], answer.headers["retry-after"]

    def wait_until_ready(self) -> None:
        self.wait_until(lambda: self.status("/readyz") == 200)

    def register(self, username: str) -> dict[str, str]:
        """A new user: the headers that they send."""
        account = {"email": f"{username}@example.com", "username": username, "password": PASSWORD}
        assert self.request("POST", "/user/", json=account).status_code == 201
        return self.sign_in(username)

    def sign_in(self, username: str) -> dict[str, str]:
        """The headers that a user sends."""
        token = self.request("POST", "/token", data={"username": username, "password": PASSWORD}).json()
        return {"Authorization": f"Bearer {token['access_token']}"}

    def publish(self, headers: dict[str, str], text: str) -> httpx2.Response:
        return self.request("POST", "/post/", json={"text": text}, headers=headers)

    def texts(self) -> set[str]:
        """Of every post that there is."""
        found: set[str] = set()
        path: str | None = "/post/?limit=100"
        while path:
            page = self.get(path)
            found.update(post["text"] for post in page.json())
            path = page.links["next"]["url"].removeprefix(self.url) if "next" in page.links else None
        return found

    def stop(self) -> int:
        """Ask it to end, as a terminal or a supervisor does: its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


@contextmanager
def serving(
    cwd: Path, env: dict[str, str], *arguments: str, command: tuple[str, ...] = FROM_SOURCE, ready: bool = True
) -> Iterator[Server]:
    """`pamps serve` on a free port, once it is ready; ended, if need be by force, when this ends."""
    with started(cwd, env, *command, "serve", "--port", "0", *arguments) as server:
        if ready:
            server.wait_until_ready()
        yield server


@contextmanager
def started(cwd: Path, env: dict[str, str], *command: str, patience: float = DEADLINE) -> Iterator[Server]:
    """A command that serves, just started; ended when this ends. What it says is in a file in `cwd`.

    Fails the test unless what it complains of is what the test has added to its `expected`.
    """
    log = cwd / f"serve-{token_hex(4)}.log"
    with log.open("wb") as output, Path(os.devnull).open("rb") as nothing:
        process = start([*command], cwd, env, (nothing, output, output))
    server = Server(process, log, patience)
    try:
        yield server
    finally:
        server.http.close()
        if process.poll() is None:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                pytest.fail(f"it did not end when it was asked to:\n{server.output}")
    found = set(server.complaints)
    assert found == server.expected, f"it complains of {found}, not of {server.expected or 'nothing'}:\n{server.output}"
