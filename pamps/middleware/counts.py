"""Where the counters of the `limits` library lie: in this process, and about once a second added to the others'.

Each is of one window of time, whose number since the epoch ends its key: LIMITER/read/user 1/600/1/minute/29932440.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from limits.storage import MemoryStorage

from pamps.db.database import Database
from pamps.errors import PampsError
from pamps.queries import tally as tallies
from pamps.recent import Recent

MOST = 32_768  # counters that are kept for sure: two each, of this window and the one before, of half as many people
BETWEEN_EXCHANGES = 1.0  # seconds
log = logging.getLogger("pamps")


class Counters(Recent[str, int]):
    """Counters by their keys: those last asked for, and none much longer than it is of use.

    A counter is of use in its window and the next. A generation that has lain there for longer is dropped, full or not:
    or else a process would fill up, within days, with counters of the few who come.
    """

    def __init__(self) -> None:
        super().__init__(MOST)
        self.window = 0  # the latest that anything was counted in
        self.turned = 0  # the one in which the older generation was the younger one last

    def __setitem__(self, key: str, count: int) -> None:
        if key not in self.young:  # each request sets one, and of those that are there nothing new is to be learnt
            self.window = max(self.window, window_of(key))
            if self.window > self.turned + 1:
                self.turn()
        super().__setitem__(key, count)

    def turn(self) -> None:
        super().turn()
        self.turned = self.window


class Counts(MemoryStorage):
    """The library's storage for its sliding window, of one kind of work, with other places for the counters.

    Everything is done by the event loop, so there is nothing to lock. A million who come once each cost no more memory
    than those who came last, so nobody looks for counters that are of no more use.
    """

    def __init__(self, seconds: int, shared: bool):
        super().__init__()
        self.seconds = seconds  # that a window lasts
        self.shared = shared
        self.counters = Counters()
        self.unsent: dict[str, int] = {}  # how many of them the others don't know of

    def get(self, key: str) -> int:
        return self.counters.get(key) or 0

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        count = self.counters[key] = (self.counters.get(key) or 0) + amount
        if self.shared:
            self.tell(key, amount)
        return count

    def decr(self, key: str, amount: int = 1) -> int:
        return self.incr(key, 0, -min(amount, self.get(key)))

    def clear(self, key: str) -> None:
        self.counters.pop(key)
        self.unsent.pop(key, None)

    def tell(self, key: str, amount: int) -> None:
        if len(self.unsent) < MOST or key in self.unsent:
            self.unsent[key] = self.unsent.get(key, 0) + amount

    def to_send(self) -> dict[str, int]:
        """What the others don't know of, which counts as told from here on; and of each window before 0, which asks."""
        sent, self.unsent = self.unsent, {}
        return dict.fromkeys(map(before, sent), 0) | sent

    def not_sent(self, sent: dict[str, int]) -> None:
        """It was not told after all."""
        for key, amount in sent.items():
            if amount:
                self.tell(key, amount)

    def heard(self, key: str, total: int) -> None:
        """What all processes together have counted; less than is known here, if PostgreSQL crashed meanwhile."""
        self.counters[key] = max(self.get(key), total + self.unsent.get(key, 0))

    def end_of_use(self, key: str) -> datetime:
        """When nobody needs a counter any more: at the end of the window after its own."""
        return datetime.fromtimestamp((window_of(key) + 2) * self.seconds, UTC)


def window_of(key: str) -> int:
    return int(key.rpartition("/")[2])


def before(key: str) -> str:
    """The counter of the same in the window before."""
    return f"{key.rpartition('/')[0]}/{window_of(key) - 1}"


async def keep_together(counted: list[Counts], database: Database) -> None:
    """Tell the other processes what came here, and hear what came there, for as long as this runs.

    While the database is away each goes on with what it knows, and tells the rest later.
    """
    told = True
    while True:
        await asyncio.sleep(BETWEEN_EXCHANGES)
        try:
            await exchange(counted, database)
            told = True
        except PampsError as error:
            if told:
                log.warning("rate limits are counted by each process alone for now: %s", error.detail)
            told = False


async def exchange(counted: Iterable[Counts], database: Database) -> None:
    """One exchange of all counters, in one statement; none where nothing is new. Raises PampsError."""
    sent = {counts: counts.to_send() for counts in counted}
    rows = [(key, counts.end_of_use(key), amount) for counts, told in sent.items() for key, amount in told.items()]
    if not rows:
        return
    names, ends, amounts = zip(*rows, strict=True)
    try:
        found = await database.row(tallies.exchange, names=names, ends=ends, amounts=amounts)
    except PampsError:
        for counts, told in sent.items():
            counts.not_sent(told)
        raise
    assert found
    totals = dict(zip(found["names"] or (), found["totals"] or (), strict=True))
    for counts, told in sent.items():
        for key in told.keys() & totals.keys():
            counts.heard(key, totals[key])
