"""Counting what is limited: by the library, in bounded memory, and together through the database."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import pytest
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Engine, text

from pamps.config import Settings
from pamps.db.database import Database
from pamps.errors import DatabaseUnavailable
from pamps.middleware.counts import MOST, Counters, before, exchange, keep_together, window_of
from pamps.middleware.limits import Limit
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


@pytest.fixture
def ahead(clock: Clock, engine: Engine) -> Clock:
    """The clock, at a whole hour still to come, so that to the database nothing that is counted is of no more use."""
    with engine.connect() as connection:
        hour = connection.execute(text("SELECT ceil(extract(epoch FROM now()) / 3600)::int")).scalar_one()
    clock.now = hour * 3600.0
    return clock


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def database(settings: Settings, runner: asyncio.Runner, empty: None) -> Iterator[Database]:
    database = Database(settings.db.uri, settings.db)
    yield database
    runner.run(database.close())


def limit(rate: str, shared: bool = False) -> Limit:
    return Limit("read", parse(rate), shared)


def taken(limit: Limit, times: int, who: str = "ada") -> int:
    """How many of so many are admitted."""
    return sum(limit.take(who)[0] >= 0 for _ in range(times))


def key(limit: Limit, clock: Clock, who: str = "ada") -> str:
    """That of a counter of the window of now."""
    return limit.counts.sliding_window_keys(limit.rate.key_for("read", who), limit.seconds, clock.now)[1]


def totals(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {row.name: row.total for row in connection.execute(text("SELECT name, total FROM tally"))}


def test_so_many_are_admitted_and_the_rest_told_when(clock: Clock) -> None:
    ours = limit("3/minute")
    assert [ours.take("ada") for _ in range(4)] == [(2, 60), (1, 60), (0, 60), (-1, 61)]
    assert ours.take("bob") == (2, 60)
    clock.now += 59.5
    assert ours.take("ada") == (-1, 1)


def test_a_clock_that_is_set_between_counting_and_telling_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = limit("3/minute")
    monkeypatch.setattr("time.time", iter([NOON] * 7 + [NOON + 1000]).__next__)
    assert [ours.take("ada") for _ in range(4)] == [(2, 60), (1, 60), (0, 60), (-1, 1)]


@pytest.mark.parametrize("seed", [*range(20), 1789, 1828])  # in the last two a wait would be rounded to too little
def test_over_our_storage_the_library_counts_as_over_its_own(clock: Clock, seed: int) -> None:
    """In whatever rhythm: the same are admitted, the same are left, and it says truly when one more will be."""
    chance = random.Random(seed)
    rate = parse(f"{chance.randint(1, 9)} per {chance.choice(['1 second', '7 seconds', '1 minute'])}")
    theirs = SlidingWindowCounterRateLimiter(MemoryStorage())
    ours = Limit("read", rate, False)
    for _ in range(300):
        clock.now += chance.choice([0, 0.01, 0.3, 1, ours.seconds / rate.amount, ours.seconds * 1.3])
        left, seconds = ours.take("ada")
        assert theirs.hit(rate, "read", "ada") is (left >= 0)
        assert max(left, 0) == theirs.get_window_stats(rate, "read", "ada").remaining
        if left < 0:
            clock.now += seconds
            assert theirs.hit(rate, "read", "ada")
            assert ours.take("ada")[0] >= 0
        if chance.random() < 0.02:
            for limiter in (theirs, ours.limiter):
                limiter.clear(rate, "read", "ada")


def test_what_is_taken_back_is_not_told(clock: Clock) -> None:
    counts = limit("3/minute", shared=True).counts
    assert [counts.incr("a/1", 120, 3), counts.decr("a/1"), counts.decr("a/1", 9), counts.decr("b/1")] == [3, 2, 0, 0]
    assert [amount for amount in counts.to_send().values() if amount] == []


def test_a_million_who_come_once_cost_no_more_than_some_and_those_who_stay_are_counted(clock: Clock) -> None:
    ours = limit("10/minute", shared=True)
    for stranger in range(5 * MOST):
        ours.take(f"2001:db8:{stranger:x}::/64")
        if stranger % (MOST // 2) == 0:
            ours.take("ada")
        if stranger % 1000 == 0:
            ours.counts.to_send()
    assert len(ours.counts.counters) <= 2 * MOST
    assert ours.take("ada") == (-1, 61)


def test_of_the_few_who_stay_no_counters_pile_up(clock: Clock) -> None:
    ours = limit("10/minute")
    for _ in range(1000):
        clock.now += 60
        assert [taken(ours, 2, who) for who in ("ada", "bob", "cyd")] == [2, 2, 2]
        assert len(ours.counts.counters) <= 5 * 3  # of this window and the four before


@pytest.mark.parametrize("seed", range(20))
def test_the_last_counters_that_are_of_use_are_there_however_many_come(seed: int) -> None:
    chance = random.Random(seed)
    counters, latest = Counters(), dict[str, int]()
    counters.most, window = 20, 1000
    for count in range(1, 3000):
        window += chance.random() < 0.03
        key = f"{chance.randrange(chance.choice([3, 30]))}/{window - chance.choice([0, 0, 1])}"
        latest.pop(key, None)
        latest[key] = counters[key] = count
        assert len(counters) <= 2 * counters.most
        of_use = [known for known in list(latest)[-counters.most :] if window_of(known) >= window - 1]
        there = counters.old | counters.young
        assert [there.get(known) for known in of_use] == [latest[known] for known in of_use]


def test_what_nobody_can_be_told_is_bounded_too(clock: Clock) -> None:
    counts = limit("10/minute", shared=True).counts
    for stranger in range(3 * MOST):
        counts.incr(f"{stranger}/1", 120)
        if stranger % 10_000 == 0:
            counts.not_sent(counts.to_send())
    assert len(counts.unsent) == MOST
    counts.incr("0/1", 120)
    assert counts.unsent["0/1"] == 2


def test_the_storage_locks_nothing_and_leaves_no_thread(clock: Clock) -> None:
    ours = limit("10/minute", shared=True)
    ours.counts.timer.join()
    taken(ours, 20)
    assert not ours.counts.locks
    assert not ours.counts.timer.is_alive()


def test_processes_count_together(database: Database, runner: asyncio.Runner, engine: Engine, ahead: Clock) -> None:
    ours, theirs = limit("100/hour", shared=True), limit("100/hour", shared=True)

    def exchanged() -> None:
        for one in (theirs, ours):
            runner.run(exchange([one.counts], database))

    assert taken(ours, 30) == 30
    assert taken(theirs, 30) == 30  # neither knows yet
    assert taken(theirs, 1, "bob") == 1
    exchanged()
    exchanged()  # with nothing to tell
    assert totals(engine) == {key(ours, ahead): 60, key(ours, ahead, "bob"): 1}
    assert taken(ours, 50) == 40  # we came second, and know of both
    assert taken(theirs, 1) == 1  # they know of their own 30, until they tell of another one:
    exchanged()
    exchanged()
    assert taken(theirs, 1) == 1
    exchanged()
    assert taken(ours, 50) == taken(theirs, 50) == 0
    assert totals(engine) == {key(ours, ahead): 102, key(ours, ahead, "bob"): 1}


@pytest.mark.parametrize("seed", range(10))
def test_in_any_history_each_process_counts_all_that_was_told_before_it_told_last(
    database: Database, runner: asyncio.Runner, ahead: Clock, seed: int
) -> None:
    """As the library would with counters of its own that had come to be what was told."""
    chance = random.Random(seed)
    rate = parse(f"{chance.randint(3, 30)} per {chance.choice(['3 seconds', '1 minute'])}")
    processes = [Limit("read", rate, True) for _ in range(3)]
    storages = [MemoryStorage() for _ in processes]
    news: list[Counter[str]] = [Counter() for _ in processes]
    told: Counter[str] = Counter()
    for _ in range(200):
        ahead.now += chance.choice([0, 0, 0, 0.01, 0.3, 1, rate.get_expiry() * 0.7])
        ours, theirs, new = chance.choice(list(zip(processes, storages, news, strict=True)))
        if chance.random() < 0.2:
            runner.run(exchange([ours.counts], database))
            told += new
            for heard in {*new, *map(before, new)}:
                theirs.storage[heard], theirs.expirations[heard] = told[heard], inf
                assert ours.counts.get(heard) == told[heard]
            new.clear()
        else:
            left, _ = ours.take("ada")
            assert SlidingWindowCounterRateLimiter(theirs).hit(rate, "read", "ada") is (left >= 0)
            new[key(ours, ahead)] += left >= 0
            new += Counter()  # forgets zeros


def test_of_the_window_before_a_process_hears_though_nothing_came_to_it_then(
    database: Database, runner: asyncio.Runner, ahead: Clock
) -> None:
    ours, theirs = limit("100/hour", shared=True), limit("100/hour", shared=True)
    assert taken(ours, 100) == 100
    runner.run(exchange([ours.counts], database))
    ahead.now += 3600
    assert taken(theirs, 1) == 1
    runner.run(exchange([theirs.counts], database))
    assert taken(theirs, 50) == 0


def test_what_was_counted_before_the_window_turned_is_told_late(
    database: Database, runner: asyncio.Runner, engine: Engine, ahead: Clock
) -> None:
    ours, theirs = limit("100/hour", shared=True), limit("100/hour", shared=True)
    assert (taken(ours, 60), taken(theirs, 60)) == (60, 60)
    runner.run(exchange([theirs.counts], database))
    ahead.now += 3600
    assert taken(ours, 1) == 1
    runner.run(exchange([ours.counts], database))
    now = key(ours, ahead)
    assert totals(engine) == {before(now): 120, now: 1}
    assert (ours.counts.get(before(now)), ours.counts.get(now)) == (120, 1)


def test_what_is_of_no_more_use_is_swept_away(
    database: Database, runner: asyncio.Runner, engine: Engine, ahead: Clock
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tally SELECT 'old/' || n, now() - interval '1 s', 1 FROM generate_series(1, 1500) n")
        )
    ours = limit("100/hour", shared=True)
    for _ in range(2):
        taken(ours, 1)
        runner.run(exchange([ours.counts], database))
    assert totals(engine) == {key(ours, ahead): 2}


def test_two_who_add_to_the_same_at_once_lose_nothing(
    database: Database, runner: asyncio.Runner, engine: Engine, ahead: Clock
) -> None:
    processes = [limit("1000/hour", shared=True) for _ in range(6)]
    strangers = [str(number) for number in range(300)]

    async def all_at_once() -> None:
        for turn in range(5):
            for number, process in enumerate(processes):
                for who in random.Random(turn * 10 + number).sample(strangers, len(strangers)):
                    process.take(who)
            await asyncio.gather(*(exchange([process.counts], database) for process in processes))

    runner.run(all_at_once())
    assert totals(engine) == {key(processes[0], ahead, who): 30 for who in strangers}


def test_while_the_database_is_away_each_goes_on_and_tells_the_rest_later(
    settings: Settings, database: Database, runner: asyncio.Runner, engine: Engine, ahead: Clock
) -> None:
    away = Database(NOBODY_LISTENS, settings.db)
    ours, theirs = limit("100/hour", shared=True), limit("100/hour", shared=True)
    for _ in range(2):
        assert taken(ours, 30) == 30
        with pytest.raises(DatabaseUnavailable):
            runner.run(exchange([ours.counts], away))
    assert taken(ours, 50) == 40
    runner.run(exchange([ours.counts], database))
    assert totals(engine) == {key(ours, ahead): 100}
    assert taken(theirs, 1) == 1
    runner.run(exchange([theirs.counts], database))
    assert taken(theirs, 1) == 0


def test_what_comes_during_an_exchange_is_counted_beside_what_others_have_told(
    database: Database, runner: asyncio.Runner, ahead: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = limit("100/hour", shared=True), limit("100/hour", shared=True)
    assert taken(theirs, 30) == 30
    runner.run(exchange([theirs.counts], database))
    assert taken(ours, 20) == 20
    row = database.row

    async def meanwhile(*arguments: Any, **options: Any) -> Any:
        found = await row(*arguments, **options)
        assert taken(ours, 10) == 10
        return found

    monkeypatch.setattr(database, "row", meanwhile)
    runner.run(exchange([ours.counts], database))
    assert ours.counts.get(key(ours, ahead)) == 60


def test_what_postgresql_forgot_in_a_crash_is_not_forgotten_here(
    database: Database, runner: asyncio.Runner, engine: Engine, ahead: Clock
) -> None:
    ours = limit("100/hour", shared=True)
    assert taken(ours, 99) == 99
    runner.run(exchange([ours.counts], database))
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE tally"))
    assert taken(ours, 1) == 1
    runner.run(exchange([ours.counts], database))
    assert taken(ours, 1) == 0


async def happened(what: Callable[[], bool]) -> None:
    for _ in range(2000):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


@pytest.mark.usefixtures("empty")
def test_they_are_kept_together_and_silence_is_said_once(
    settings: Settings, runner: asyncio.Runner, engine: Engine, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch, ahead: Clock,
) -> None:  # fmt: skip
    monkeypatch.setattr("pamps.middleware.counts.BETWEEN_EXCHANGES", 0.01)
    ours = limit("100/hour", shared=True)
    database = Database(NOBODY_LISTENS, settings.db)

    async def some_exchanges() -> None:
        keeping = asyncio.create_task(keep_together([ours.counts], database))
        ours.take("ada")
        await happened(lambda: bool(caplog.records))
        database.uri = settings.db.uri
        ours.take("ada")
        await happened(lambda: totals(engine) == {key(ours, ahead): 2})
        keeping.cancel()

    with caplog.at_level("WARNING", "pamps"):
        runner.run(some_exchanges())
    runner.run(database.close())
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "rate limits are counted by each process alone for now"
    ]


def test_what_is_of_no_more_use_is_not_told(
    database: Database, runner: asyncio.Runner, engine: Engine, ahead: Clock
) -> None:
    """And fails no exchange, though its counter is swept away in the same statement."""
    ours = limit("100/hour", shared=True)
    old = before(before(before(key(ours, ahead))))
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tally VALUES (:name, :ends, 7)"), {"name": old, "ends": ours.counts.end_of_use(old)}
        )
    ours.counts.incr(old, 0)
    taken(ours, 1)
    runner.run(exchange([ours.counts], database))
    assert totals(engine) == {key(ours, ahead): 1}


def test_what_another_process_sweeps_is_not_waited_for(
    database: Database, runner: asyncio.Runner, engine: Engine, ahead: Clock
) -> None:
    ours = limit("100/hour", shared=True)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO tally VALUES ('old/1', now() - interval '1 s', 1)"))
    with engine.begin() as connection:
        connection.execute(text("SELECT FROM tally FOR UPDATE"))
        taken(ours, 1)
        runner.run(exchange([ours.counts], database))
    assert totals(engine) == {"old/1": 1, key(ours, ahead): 1}
