"""`pamps` in a process of its own that needn't import anything: forked from one that has done so.

A fresh Python takes more than a second of the CPU for its imports, and the tests start hundreds. What is forked is a
process like any other, with a pid, a folder, an environment, standard streams, signals and an end of its own; it runs
what `python -m pamps` runs. The server processes that it starts are forked from it.
"""

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import traceback
from contextlib import suppress
from functools import cache
from multiprocessing import util
from pathlib import Path
from typing import IO, Any, NoReturn

from tests.checkout import ROOT

# What takes long. Not pamps.commands: they look at the terminal, and at what is set, when they are imported.
IMPORTED = ("alembic.command", "pamps.app", "pamps.startup", "rich.progress", "typer", "uvicorn.supervisors")

Streams = tuple[IO[Any], IO[Any], IO[Any]]  # standard input, output and error
FRESH: Any = util.spawnv_passfds

in_use = True  # not with --slow, by which each is a fresh Python


class Forked:
    """A running process, to be handled like a subprocess.Popen; for any number of threads."""

    def __init__(self, pid: int, told: int):
        self.pid = pid
        self.told = told  # the descriptor on which its exit code comes
        self.lock = threading.Lock()
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        with self.lock:
            if self.returncode is None:
                poll = select.poll()
                poll.register(self.told, select.POLLIN)
                if not poll.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired("pamps", timeout or 0)
                self.returncode = number_from(self.told)
                os.close(self.told)
            return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork(arguments: list[str], cwd: Path, env: dict[str, str], streams: Streams, at_a_terminal: bool) -> Forked:
    """Start `pamps` with these arguments and standard streams."""
    told, telling = os.pipe()
    try:
        asked = {"arguments": arguments, "cwd": str(cwd), "env": env, "at_a_terminal": at_a_terminal}
        message = json.dumps(asked).encode()
        socket.send_fds(nursery(), [message], [*(stream.fileno() for stream in streams), telling])
    finally:
        os.close(telling)
    return Forked(number_from(told), told)


def number_from(told: int) -> int:
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(told, 1)
        assert more, "the process that others are forked from is gone"
        line += more
    return int(line)


@cache
def nursery() -> socket.socket:
    """The process that has imported everything, by the socket on which it is asked; it ends with ours."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = [sys.executable, "-m", "tests.forks", str(its.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, env=bare(), stdin=subprocess.DEVNULL, pass_fds=[its.fileno()])

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def bare() -> dict[str, str]:
    """An environment in which nothing is set that a command could find."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def serve(requests: socket.socket) -> None:
    """Fork a process for each request, and tell of each when it has ended, until nobody is left to ask."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a process with threads can't be forked"
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, it is for those who ask
    awake, waking = socket.socketpair()
    waking.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    running: dict[int, int] = {}  # by pid, where its exit code is told
    while True:
        ready, _, _ = select.select([requests, awake], [], [])
        if awake in ready:
            awake.recv(4096)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    tell(running[pid], os.waitstatus_to_exitcode(status))
                    os.close(running.pop(pid))
        if requests in ready:
            message, files, _, _ = socket.recv_fds(requests, 100_000, 4)
            if not message:
                return
            *streams, telling = files
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for ours in (requests, awake, waking):
                    ours.close()
                for other in (telling, *running.values()):
                    os.close(other)
                become(streams, **json.loads(message))
            for file in streams:
                os.close(file)
            tell(telling, pid)
            running[pid] = telling


def tell(telling: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody wants to know
        os.write(telling, b"%d\n" % number)


def become(streams: list[int], arguments: list[str], cwd: str, env: dict[str, str], at_a_terminal: bool) -> NoReturn:
    """Be what `python -m pamps` is."""
    if at_a_terminal:
        lead(streams[0])
    for number, file in enumerate(streams):
        os.dup2(file, number)
    for file in set(streams):
        os.close(file)
    sys.stdin, sys.stdout = os.fdopen(0, errors="surrogateescape"), os.fdopen(1, "w", errors="surrogateescape")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0], sys.argv = cwd, ["pamps", *arguments]
    util.spawnv_passfds = spawned  # type: ignore[assignment]
    try:
        runpy.run_module("pamps", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
        if isinstance(code, int) and threading.active_count() == 1:
            leave(code)
        raise
    sys.exit()


def lead(terminal: int) -> None:
    """Have a terminal to oneself, so that its Ctrl-C is a signal."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def leave(code: int) -> NoReturn:
    """End as Python does, but take nothing apart: all memory that is shared would be copied, to be thrown away."""
    atexit._run_exitfuncs()
    with suppress(OSError):  # else Python says what there is to say of it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def spawned(program: str, arguments: list[str], kept: tuple[int, ...]) -> int:
    """Start what multiprocessing would, and keep of our open files what it would: the process's pid."""
    if arguments[-1] != "--multiprocessing-fork":
        return int(FRESH(program, arguments, kept))
    if pid := os.fork():
        return pid
    code: object = 1
    try:
        forget(kept)
        sys.argv = ["-c", arguments[-1]]
        exec(arguments[-2], {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def forget(kept: tuple[int, ...]) -> None:
    """Be without what exec takes away: files, but for those that are kept, and what was to be done about signals."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        if file > 2 and file not in (*kept, nothing):
            with suppress(OSError):  # the one that the list was read from
                os.fstat(file)
                os.dup2(nothing, file)  # not closed: whoever still has it would close another that has its number
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        serve(requests)
