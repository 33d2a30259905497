"""Connections to the database, lent to one request at a time.

asyncpg has a pool too. It resets and guards what it lends, for which a statement leaves nothing to do here, and takes
more of a process's time with that than the statement itself (docs/decisions/8-a-pool-of-our-own.md).
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

import asyncpg
from asyncpg import Connection

from pamps import errors

Waiter = asyncio.Future[Connection | None]
IDLE = 300.0  # seconds; a connection that nobody has needed for longer may have been forgotten by what lies between
# What leaves a connection in the middle of something, so that nobody else can use it.
BROKEN_OFF = (asyncio.CancelledError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Pool:
    """Up to `most` connections. The one that came back last is lent first, and those in excess of `least` grow old.

    Whoever finds none waits in line, `queue` of them at most, and each for `patience` seconds. What is lent must come
    back as it was: no setting, no open transaction.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        least: int,
        most: int,
        queue: int = 1000,
        patience: float = 60.0,
    ):
        self.connect = connect
        self.least = least
        self.most = most
        self.queue = queue
        self.patience = patience
        self.size = 0  # those that there are, and those that are being made
        self.connections: set[Connection] = set()
        self.idle: deque[tuple[Connection, float]] = deque()  # since when
        self.waiting: deque[Waiter] = deque()
        self.closing = False

    async def fill(self) -> None:
        """Make the least of connections that there should be."""
        for connection in [await self.take() for _ in range(self.least)]:
            self.pass_on(connection)

    @property
    def room(self) -> int:
        """How many more may have a connection, or wait for one."""
        return self.most - self.size + len(self.idle) + self.queue - len(self.waiting)

    def acquire(self, urgent: bool = False) -> "Lent":
        """A connection: `async with pool.acquire() as connection`; who is `urgent` waits before all others.

        Raises Overloaded, or what asyncpg does when one can't be made.
        """
        return Lent(self, urgent)

    async def fetchrow(self, sql: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row that a statement finds, or None."""
        async with Lent(self) as connection:
            return await connection.fetchrow(sql, *arguments)

    async def take(self, urgent: bool = False) -> Connection:
        """A connection; it must be given back."""
        if self.closing:
            raise asyncpg.InterfaceError("the pool is closing")
        while self.idle:
            connection, since = self.idle.pop()
            if not connection.is_closed() and time.monotonic() - since < IDLE:
                return connection
            self.forget(connection)
        if self.size < self.most:
            self.size += 1
        elif found := await self.wait(self.patience, urgent):
            return found
        try:
            connection = await self.connect()
        except BaseException:
            self.pass_on(None)
            raise
        self.connections.add(connection)
        return connection

    async def wait(self, patience: float | None, urgent: bool) -> Connection | None:
        """What somebody gives back; None if that was lost, so that another may be made in its place."""
        if len(self.waiting) >= self.queue and not urgent:
            raise errors.Overloaded()
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        (self.waiting.appendleft if urgent else self.waiting.append)(waiter)
        timer = loop.call_later(patience, expire, waiter) if patience else None
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and not waiter.exception():  # it had come, and nobody is here to use it
                self.pass_on(waiter.result())
            raise
        finally:
            if timer:
                timer.cancel()
            if waiter.cancelled() or waiter.exception():
                with suppress(ValueError):  # it has been passed over
                    self.waiting.remove(waiter)

    def give_back(self, connection: Connection, error: BaseException | None) -> None:
        """Take back what was lent; `error` is what came of it."""
        if connection.is_closed() or isinstance(error, BROKEN_OFF) or (error and connection.is_in_transaction()):
            self.forget(connection)
        else:
            self.pass_on(connection)

    def forget(self, connection: Connection) -> None:
        """Do without a connection that nobody has."""
        connection.terminate()
        self.connections.discard(connection)
        self.pass_on(None)

    def pass_on(self, connection: Connection | None) -> None:
        """Give a connection, or the place of one that is lost, to whoever has waited longest; else keep it."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():  # as it is when its request was cancelled
                waiter.set_result(connection)
                return
        if connection is None:
            self.size -= 1
            return
        self.idle.append((connection, time.monotonic()))
        oldest, since = self.idle[0]
        if self.size > self.least and time.monotonic() - since > IDLE:
            self.idle.popleft()
            self.forget(oldest)

    async def close(self) -> None:
        """Lend nothing more, and close every connection when it has come back."""
        self.closing = True
        while self.size:
            connection = self.idle.pop()[0] if self.idle else await self.wait(None, urgent=True)
            if connection:
                await connection.close()
            self.size -= 1

    def terminate(self) -> None:
        """Cut every connection off."""
        self.closing = True
        for connection in self.connections:
            connection.terminate()


def expire(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_exception(errors.Overloaded())


class Lent:
    """A connection for as long as an `async with` lasts. Not by contextlib, as it is on the way of every request."""

    __slots__ = ("connection", "pool", "urgent")

    def __init__(self, pool: Pool, urgent: bool = False):
        self.pool = pool
        self.urgent = urgent

    async def __aenter__(self) -> Connection:
        self.connection = await self.pool.take(self.urgent)
        return self.connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.give_back(self.connection, error)
