"""Counting what is limited: as the library counts, in bounded memory, and together through the database."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Engine, text

from pamps.config import Settings
from pamps.db.database import Database
from pamps.errors import DatabaseUnavailable
from pamps.middleware.tallies import MOST, Tally, exchange, keep_together
from tests.test_errors import NOBODY_LISTENS

NOON = 1_795_946_400.0  # a whole number of minutes


class Clock:
    """The time that counting goes by."""

    def __init__(self) -> None:
        self.now = NOON

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock.time)
    return clock


def tally(rate: str, shared: bool = False) -> Tally:
    return Tally(parse(rate), shared)


def taken(counted: Tally, times: int, who: str = "ada") -> int:
    """How many of so many are admitted."""
    return sum(counted.take(who)[0] >= 0 for _ in range(times))


def test_so_many_are_admitted_and_the_rest_told_when(clock: Clock) -> None:
    counted = tally("3/minute")
    assert [counted.take("ada") for _ in range(4)] == [(2, 60), (1, 60), (0, 60), (-1, 61)]
    assert counted.take("bob") == (2, 60)
    clock.now += 59.5
    assert counted.take("ada") == (-1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_it_counts_as_the_library_does(clock: Clock, seed: int) -> None:
    """In whatever rhythm: the same are admitted, the same are left, and it says truly when one more will be."""
    chance = random.Random(seed)
    limit = parse(f"{chance.randint(1, 9)} per {chance.choice(['1 second', '7 seconds', '1 minute'])}")
    theirs = SlidingWindowCounterRateLimiter(MemoryStorage())
    ours = Tally(limit, False)
    for _ in range(300):
        clock.now += chance.choice([0, 0.01, 0.3, 1, limit.get_expiry() / limit.amount, limit.get_expiry() * 1.3])
        left, seconds = ours.take("ada")
        assert theirs.hit(limit, "ada") is (left >= 0)
        assert max(left, 0) == theirs.get_window_stats(limit, "ada").remaining
        if left < 0:
            clock.now += seconds
            assert theirs.hit(limit, "ada")
            assert ours.take("ada")[0] >= 0


def test_a_million_who_come_once_cost_no_more_than_some_and_those_who_stay_are_counted(clock: Clock) -> None:
    counted = tally("10/minute", shared=True)
    for stranger in range(10 * MOST):
        counted.take(f"2001:db8:{stranger:x}::/64")
        if stranger % MOST == 0:
            counted.take("ada")
        if stranger % 1000 == 0:
            counted.to_send()
    assert len(counted.counts) <= 2 * MOST
    assert len(counted.unsent) + len(counted.late) <= 2 * MOST
    assert counted.take("ada") == (-1, 61)


def test_what_nobody_can_be_told_is_bounded_too(clock: Clock) -> None:
    counted = tally("10/minute", shared=True)
    for stranger in range(5 * MOST):
        counted.take(str(stranger))
        if stranger % 1000 == 0:
            counted.not_sent(counted.to_send())
    assert len(counted.late) <= 2 * MOST


@contextmanager
def together(settings: Settings, runner: asyncio.Runner) -> Iterator[Any]:
    """Two processes that count what is read, and what has them tell each other."""
    database = Database(settings.db.uri, settings.db)
    ours, theirs = tally("100/hour", shared=True), tally("100/hour", shared=True)

    def exchanged() -> None:
        for one in (theirs, ours):
            runner.run(exchange({"read": one}, database))

    yield ours, theirs, exchanged
    runner.run(database.close())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def totals(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {row.name: row.total for row in connection.execute(text("SELECT name, total FROM tally"))}


@pytest.mark.usefixtures("empty")
def test_processes_count_together(settings: Settings, runner: asyncio.Runner, engine: Engine) -> None:
    with together(settings, runner) as (ours, theirs, exchanged):
        assert taken(ours, 30) == 30
        assert taken(theirs, 30) == 30  # neither knows yet
        assert taken(theirs, 1, "bob") == 1
        exchanged()
        exchanged()  # with nothing to tell
        assert totals(engine) == {"read/100/3600/ada": 60, "read/100/3600/bob": 1}
        assert taken(ours, 50) == 40  # we came second, and know of both
        assert taken(theirs, 1) == 1  # they know of their own 30, until they tell of another one:
        exchanged()
        exchanged()
        assert taken(theirs, 1) == 1
        exchanged()
        assert taken(ours, 50) == taken(theirs, 50) == 0
        assert totals(engine) == {"read/100/3600/ada": 102, "read/100/3600/bob": 1}


@pytest.mark.usefixtures("empty")
def test_what_was_counted_before_the_window_turned_is_told_late(
    settings: Settings, runner: asyncio.Runner, engine: Engine, clock: Clock
) -> None:
    with engine.connect() as connection:
        clock.now = connection.execute(text("SELECT extract(epoch FROM now())::float")).scalar_one()
    with together(settings, runner) as (ours, theirs, exchanged):
        assert (taken(ours, 60), taken(theirs, 60)) == (60, 60)
        clock.now += 3600
        assert taken(ours, 1) == 1
        exchanged()
        with engine.connect() as connection:
            assert connection.scalars(text("SELECT total FROM tally ORDER BY ends_at")).all() == [120, 1]
        count = ours.counts.get("ada")
        assert count
        assert (count.previous, count.so_far) == (120, 1)


@pytest.mark.usefixtures("empty")
def test_what_is_of_no_more_use_is_swept_away(settings: Settings, runner: asyncio.Runner, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tally SELECT 'read/1/1/' || n, now() - interval '1 s', 1 FROM generate_series(1, 1500) n")
        )
    with together(settings, runner) as (ours, _, exchanged):
        for _ in range(2):
            taken(ours, 1)
            exchanged()
    assert totals(engine) == {"read/100/3600/ada": 2}


@pytest.mark.usefixtures("empty")
def test_two_who_add_to_the_same_at_once_lose_nothing(
    settings: Settings, runner: asyncio.Runner, engine: Engine
) -> None:
    database = Database(settings.db.uri, settings.db)
    processes = [tally("1000/hour", shared=True) for _ in range(6)]
    strangers = [str(number) for number in range(300)]

    async def all_at_once() -> None:
        for turn in range(5):
            for number, process in enumerate(processes):
                for who in random.Random(turn * 10 + number).sample(strangers, len(strangers)):
                    process.take(who)
            await asyncio.gather(*(exchange({"read": process}, database) for process in processes))

    runner.run(all_at_once())
    runner.run(database.close())
    assert totals(engine) == {f"read/1000/3600/{who}": 30 for who in strangers}


@pytest.mark.usefixtures("empty")
def test_while_the_database_is_away_each_goes_on_and_tells_the_rest_later(
    settings: Settings, runner: asyncio.Runner, engine: Engine
) -> None:
    away = Database(NOBODY_LISTENS, settings.db)
    ours = tally("100/hour", shared=True)
    for _ in range(2):
        assert taken(ours, 30) == 30
        with pytest.raises(DatabaseUnavailable):
            runner.run(exchange({"read": ours}, away))
    assert taken(ours, 50) == 40
    with together(settings, runner) as (_, theirs, _):
        database = Database(settings.db.uri, settings.db)
        runner.run(exchange({"read": ours}, database))
        assert totals(engine) == {"read/100/3600/ada": 100}
        assert taken(theirs, 1) == 1
        runner.run(exchange({"read": theirs}, database))
        assert taken(theirs, 1) == 0
        runner.run(database.close())


async def happened(what: Callable[[], bool]) -> None:
    for _ in range(2000):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


@pytest.mark.usefixtures("empty")
def test_they_are_kept_together_and_silence_is_said_once(
    settings: Settings, runner: asyncio.Runner, engine: Engine, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("pamps.middleware.tallies.BETWEEN_EXCHANGES", 0.01)
    ours = tally("100/hour", shared=True)
    database = Database(NOBODY_LISTENS, settings.db)

    async def some_exchanges() -> None:
        keeping = asyncio.create_task(keep_together({"read": ours}, database))
        ours.take("ada")
        await happened(lambda: bool(caplog.records))
        database.uri = settings.db.uri
        ours.take("ada")
        await happened(lambda: totals(engine) == {"read/100/3600/ada": 2})
        keeping.cancel()

    with caplog.at_level("WARNING", "pamps"):
        runner.run(some_exchanges())
    runner.run(database.close())
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "rate limits are counted by each process alone for now"
    ]
