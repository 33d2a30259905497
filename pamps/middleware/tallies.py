"""Counting what is limited: in this process, and about once a second together with the others, through the database.

The counting is the sliding window of the `limits` library (its strategies.SlidingWindowCounterRateLimiter): what has
come in this window, and of what came in the one before it the part that a window ending now would still cover.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from math import ceil

from limits import RateLimitItem

from pamps.db.database import Database
from pamps.errors import PampsError
from pamps.queries import tally as tallies
from pamps.recent import Recent

MOST = 16_384  # who are counted for sure, of each kind of work
BETWEEN_EXCHANGES = 1.0  # seconds
log = logging.getLogger("pamps")


class Count:
    """What somebody has had: in the window of this number since the epoch, and in the one before it."""

    __slots__ = ("previous", "so_far", "unsent", "window")

    def __init__(self, window: int):
        self.window = window
        self.so_far = 0
        self.previous = 0
        self.unsent = 0  # of what there is so far: what the others don't know of

    def turn_to(self, window: int) -> None:
        self.previous = self.so_far if window == self.window + 1 else 0
        self.window, self.so_far, self.unsent = window, 0, 0


Unsent = dict[tuple[str, int], int]  # of whom, in which window, how many the others don't know of


class Tally:
    """The counts of all who do one kind of thing.

    Everything is done by the event loop, and a million who come once each cost no more memory than those who came last.
    """

    def __init__(self, limit: RateLimitItem, shared: bool):
        self.amount = limit.amount
        self.seconds = limit.get_expiry()
        self.shared = shared
        self.counts: Recent[str, Count] = Recent(MOST)
        self.unsent: dict[str, Count] = {}
        self.late: Unsent = {}  # of windows that ended before the others were told

    def take(self, who: str) -> tuple[int, int]:
        """Count one, unless it is too many: how many are left, -1 for one that is refused, and for how many seconds.

        After as many seconds, one that was refused would not be.
        """
        now = time.time()
        window = int(now // self.seconds)
        count = self.counts.get(who)
        if count is None:
            count = self.counts[who] = Count(window)
        if count.window != window:
            self.turn(who, count, window)
        left = (window + 1) * self.seconds - now
        used = int(count.previous * left / self.seconds + count.so_far)
        if used >= self.amount:
            return -1, int(wait(count, self.amount, left, self.seconds)) + 1
        count.so_far += 1
        if self.shared:
            if not count.unsent:
                self.unsent[who] = count
            count.unsent += 1
        return self.amount - used - 1, ceil(left)

    def turn(self, who: str, count: Count, window: int) -> None:
        """A count goes on with another window."""
        if count.unsent:
            add(self.late, who, count.window, count.unsent)
            self.unsent.pop(who, None)
        count.turn_to(window)

    def to_send(self) -> Unsent:
        """What the others don't know of; from here on it counts as told."""
        sent, self.late = self.late, {}
        for who, count in self.unsent.items():
            add(sent, who, count.window, count.unsent)
            count.unsent = 0
        self.unsent = {}
        return sent

    def not_sent(self, unsent: Unsent) -> None:
        """It was not told after all."""
        for (who, window), amount in unsent.items():
            add(self.late, who, window, amount)

    def heard(self, who: str, window: int, total: int) -> None:
        """What all processes together have counted."""
        count = self.counts.get(who)
        if count and count.window == window:
            count.so_far = total + count.unsent
        elif count and count.window == window + 1:
            count.previous = total


def add(unsent: Unsent, who: str, window: int, amount: int) -> None:
    if len(unsent) < 2 * MOST or (who, window) in unsent:
        unsent[who, window] = unsent.get((who, window), 0) + amount


def wait(count: Count, limit: int, left: float, seconds: int) -> float:
    """How long it takes until as much of what was counted is past that one more is not too many."""
    if count.so_far < limit:
        return left - (limit - count.so_far) * seconds / count.previous
    return left + seconds - limit * seconds / count.so_far


async def keep_together(counted: dict[str, Tally], database: Database) -> None:
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


async def exchange(counted: dict[str, Tally], database: Database) -> None:
    """One exchange of all tallies, in one statement; none where nothing is new. Raises PampsError."""
    sent = {kind: tally.to_send() for kind, tally in counted.items()}
    rows = {
        (name(kind, counted[kind], who), end_of_use(window, counted[kind].seconds)): (kind, who, window)
        for kind, unsent in sent.items()
        for who, window in unsent
    }
    if not rows:
        return
    try:
        found = await database.row(
            tallies.exchange,
            names=[name for name, _ in rows],
            ends=[end for _, end in rows],
            amounts=[sent[kind][who, window] for kind, who, window in rows.values()],
        )
    except PampsError:
        for kind, unsent in sent.items():
            counted[kind].not_sent(unsent)
        raise
    assert found
    columns = (found[column] or () for column in ("names", "ends", "totals"))
    for *row, total in zip(*columns, strict=True):
        kind, who, window = rows[tuple(row)]
        counted[kind].heard(who, window, total)


def name(kind: str, tally: Tally, who: str) -> str:
    """Those whose limits differ, while a setting is being changed, don't count together."""
    return f"{kind}/{tally.amount}/{tally.seconds}/{who}"


def end_of_use(window: int, seconds: int) -> datetime:
    """When nobody needs the count of a window any more: at the end of the next one."""
    return datetime.fromtimestamp((window + 2) * seconds, UTC)
