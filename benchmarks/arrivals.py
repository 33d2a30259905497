"""Clients that come at a rate of their own, answered or not, and leave when they have waited too long.

wrk's clients ask again when they have been answered: a server that is slow is asked less, so that is no overload.
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import cycle
from random import Random

import httptools
import uvloop

from benchmarks.case import Request
from benchmarks.load import LoadError

HOST = "127.0.0.1"
REFUSED = 503
CONNECTIONS = 10_000  # at most; who finds none free waits for one as for the answer
TICK = 0.005  # seconds between looks for who has waited too long


@dataclass(slots=True, eq=False)
class Visit:
    """A client with one request, and since when it would have an answer: late in being sent, it has waited too."""

    due: float
    request: bytes
    connection: "Connection | None" = None
    over: bool = False


@dataclass
class Outcome:
    """Who came, gave up or was answered in the time that is looked at; waits in seconds since they were due.

    `late` is by how much they came later than that: what of the waits is the clients' own, on a machine that is busy.
    """

    seconds: float
    offered: int = 0
    gave_up: int = 0
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """A connection, with one request on it at a time."""

    def __init__(self, crowd: "Crowd"):
        self.crowd = crowd
        self.parser = httptools.HttpResponseParser(self)
        self.visit: Visit | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.crowd.find(self)

    def ask(self, visit: Visit) -> None:
        self.visit, visit.connection = visit, self
        self.transport.write(visit.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        visit, self.visit = self.visit, None
        if visit:
            self.crowd.answered(visit, self.parser.get_status_code())
        if self.parser.should_keep_alive():
            self.crowd.find(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.crowd.lost(self)


class Crowd:
    """Everybody who comes: by chance, `rate` of them a second (Poisson); seen for `seconds`, after a `lead_in`."""

    def __init__(self, port: int, requests: list[bytes], rate: float, patience: float, lead_in: float, seconds: float):
        self.port = port
        self.requests = cycle(requests)
        self.rate = rate
        self.patience = patience
        self.lead_in = lead_in
        self.outcome = Outcome(seconds)
        self.failed: Counter[str] = Counter()
        self.visits: deque[Visit] = deque()  # in the order in which they were due
        self.asking: deque[Visit] = deque()  # of those, who has no connection yet
        self.idle: dict[Connection, None] = {}  # in the order in which they became so
        self.connections = 0  # open, or being opened
        self.opening: set[asyncio.Task[None]] = set()

    async def run(self) -> Outcome:
        """Let all of them come, and wait until the last has left. Raises LoadError for an answer that should not be."""
        self.loop = asyncio.get_running_loop()
        self.since = self.loop.time() + self.lead_in
        self.until = self.since + self.outcome.seconds
        chance, due = Random(self.port), self.loop.time()
        while due < self.until:
            await asyncio.sleep(max(0.0, min(TICK, due - self.loop.time())))
            while due < min(self.loop.time(), self.until):
                self.come(Visit(due, next(self.requests)))
                due += chance.expovariate(self.rate)
            self.look()
        while self.visits:
            await asyncio.sleep(TICK)
            self.look()
        await asyncio.gather(*self.opening)
        for connection in self.idle:
            connection.transport.close()
        if self.failed:
            raise LoadError(", ".join(f"{what}: {count}" for what, count in self.failed.items()))
        return self.outcome

    def seen(self) -> bool:
        return self.since <= self.loop.time() < self.until

    def come(self, visit: Visit) -> None:
        self.visits.append(visit)
        if self.seen():
            self.outcome.offered += 1
            self.outcome.late.append(self.loop.time() - visit.due)
        self.asking.append(visit)
        if self.idle:
            self.find(self.idle.popitem()[0])
        else:
            self.open_another()

    def open_another(self) -> None:
        if self.connections < CONNECTIONS:
            self.connections += 1
            task = self.loop.create_task(self.open())
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)

    async def open(self) -> None:
        try:
            await self.loop.create_connection(lambda: Connection(self), HOST, self.port)
        except OSError as error:
            self.connections -= 1
            self.failed[f"no connection, {error.strerror}"] += 1

    def find(self, connection: Connection) -> None:
        """Give a connection to who has waited longest for one."""
        while self.asking:
            visit = self.asking.popleft()
            if not visit.over:
                connection.ask(visit)
                return
        self.idle[connection] = None

    def lost(self, connection: Connection) -> None:
        self.connections -= 1
        if connection.visit:
            connection.visit.over = True
            self.failed["a connection was lost"] += 1
        self.idle.pop(connection, None)
        if self.asking:
            self.open_another()

    def answered(self, visit: Visit, status: int) -> None:
        visit.over = True
        if status not in (200, 201, REFUSED):
            self.failed[f"answers of {status}"] += 1
        elif self.seen():
            waits = self.outcome.refused if status == REFUSED else self.outcome.served
            waits.append(self.loop.time() - visit.due)

    def look(self) -> None:
        """Forget those who have left; those who have waited too long leave now, and hang up."""
        late = self.loop.time() - self.patience
        while self.visits and (self.visits[0].over or self.visits[0].due < late):
            visit = self.visits.popleft()
            if visit.over:
                continue
            visit.over = True
            self.outcome.gave_up += self.seen()
            if visit.connection:
                visit.connection.visit = None
                visit.connection.transport.abort()


def crowd(port: int, requests: list[bytes], rate: float, patience: float, lead_in: float, seconds: float) -> Outcome:
    """Load a server on this machine with so many requests a second, whatever becomes of them."""
    return uvloop.run(Crowd(port, requests, rate, patience, lead_in, seconds).run())


def raw(request: Request, tokens: dict[int, str]) -> bytes:
    """A request without a body, as it goes over the wire."""
    lines = [f"{request.method} {request.path} HTTP/1.1", f"Host: {HOST}"]
    if request.user:
        lines.append(f"Authorization: Bearer {tokens[request.user]}")
    return "\r\n".join([*lines, "", ""]).encode()
