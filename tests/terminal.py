"""A command at a terminal: what it shows is read, and answers are typed."""

import os
import pty
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

from tests.complaints import complaints
from tests.processes import DEADLINE, FROM_SOURCE, Process, start


class Terminal:
    """A running command, the keyboard and the screen."""

    def __init__(self, process: Process, fd: int):
        self.process = process
        self.fd = fd
        self.screen = ""
        self.seen = 0

    @property
    def complaints(self) -> list[str]:
        """What went wrong on our side, as far as the screen shows it."""
        return complaints(self.screen)

    def shows(self, text: str) -> None:
        """Wait until the screen shows a text, after what was waited for before."""
        while (at := self.screen.find(text, self.seen)) < 0:
            assert self.read(), f"{text!r} never came; the screen shows:\n{self.screen}"
        self.seen = at + len(text)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> int:
        """Wait for the command to end: its exit code."""
        while self.read():
            pass
        return self.process.wait(DEADLINE)

    def end_with(self, answer: str) -> int:
        """Give an answer, and press Enter for as long as nothing happens: the exit code.

        A Ctrl-C between Python's showing a question and its waiting for what is typed is seen only with the next key.
        That is no Ctrl-C itself: by another one, at the very end, Python is killed.
        """
        end = time.monotonic() + DEADLINE
        self.type(answer)
        while True:
            if not select([self.fd], [], [], 1.0)[0]:
                assert time.monotonic() < end, f"it does not end; the screen shows:\n{self.screen}"
                self.type("\n")
            elif not self.read():
                return self.process.wait(DEADLINE)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self.fd)
        self.fd = -1

    def read(self) -> bool:
        """Read what has come; false at the end. Fails the test if nothing comes for long."""
        assert select([self.fd], [], [], DEADLINE)[0], f"nothing happens; the screen shows:\n{self.screen}"
        try:
            found = os.read(self.fd, 65536)
        except OSError:  # what Linux says when the other side is closed
            return False
        self.screen += found.decode().replace("\r\n", "\n")
        return bool(found)


@contextmanager
def terminal(*arguments: str, cwd: Path, env: dict[str, str], fresh: bool = False) -> Iterator[Terminal]:
    """`pamps` with a terminal of its own; on request as it is when all is still to be imported."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as screen:
        streams = (screen, screen, screen)
        there = env | {"TERM": "xterm", "COLUMNS": "100"}
        process = start([*FROM_SOURCE, *arguments], cwd, there, streams, at_a_terminal=True, fresh=fresh)
    found = Terminal(process, ours)
    try:
        yield found
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if found.fd >= 0:
            found.hang_up()
