"""Watches the hashing of passwords, and holds it up for as long as a test needs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

from passlib.context import CryptContext

PATIENCE = 20  # seconds until what should happen fails the test


def until(what: Callable[[], bool]) -> None:
    """Return once something is so; fails the test if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


class Watched:
    """A CryptContext that tells what it has done, and how much of it at once."""

    def __init__(self, context: CryptContext):
        self.context = context
        self.lock = Lock()
        self.done: list[str] = []  # what raised an error is not done
        self.at_work = 0
        self.most_at_work = 0
        self.open = Event()
        self.open.set()

    def hash(self, secret: str | bytes) -> str:
        with self.work("hash"):
            return str(self.context.hash(secret))

    def verify(self, secret: str | bytes, known: str) -> bool:
        with self.work("verify"):
            return bool(self.context.verify(secret, known))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)

    @contextmanager
    def work(self, name: str) -> Iterator[None]:
        with self.lock:
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            assert self.open.wait(PATIENCE)
            yield
            self.done.append(name)
        finally:
            with self.lock:
                self.at_work -= 1

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Whatever is begun meanwhile goes on only afterwards."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()

    def wait_for(self, count: int) -> None:
        """Return once this many are at work."""
        until(lambda: self.at_work == count)
