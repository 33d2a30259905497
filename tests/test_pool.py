"""The pool: who gets a connection, and when; what is no longer fit to lend is not lent."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from pamps.db import pool as pools
from pamps.db.drivers import asyncpg_uri
from pamps.db.pool import Pool

PATIENCE = 20  # seconds until what should come fails the test
MOST = 3

Lend = Callable[[Callable[[Pool], Awaitable[None]]], None]


@pytest.fixture
def lend(uri: str) -> Lend:
    """Runs what is to be done with a pool that has one connection ready and makes three."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(asyncpg_uri(uri))

    async def with_pool(what: Callable[[Pool], Awaitable[None]]) -> None:
        pool = Pool(connect, 1, MOST)
        async with asyncio.timeout(PATIENCE):
            await pool.fill()
            await what(pool)
            await pool.close()
            assert pool.size == 0

    return lambda what: asyncio.run(with_pool(what))


async def process(pool: Pool) -> int:
    """The server's process behind the connection that is lent next."""
    row = await pool.fetchrow("SELECT pg_backend_pid()")
    assert row
    return int(row[0])


async def until(true: Callable[[], bool]) -> None:
    """Let the others go on until something is so."""
    while not true():  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)


async def waiting(pool: Pool, count: int) -> None:
    await until(lambda: len(pool.waiting) == count)


def test_one_after_the_other_is_served_by_the_same_connection(lend: Lend) -> None:
    async def one_by_one(pool: Pool) -> None:
        assert len({await process(pool) for _ in range(10)}) == 1
        assert pool.size == 1

    lend(one_by_one)


def test_many_at_once_are_served_by_no_more_connections_than_there_may_be(lend: Lend) -> None:
    async def at_once(pool: Pool) -> None:
        found = await asyncio.gather(*(pool.fetchrow("SELECT pg_backend_pid(), pg_sleep(0.01)") for _ in range(20)))
        assert len({row[0] for row in found if row}) == pool.size == MOST

    lend(at_once)


def test_who_has_waited_longest_is_served_first(lend: Lend) -> None:
    async def in_line(pool: Pool) -> None:
        served: list[int] = []

        async def ask(number: int) -> None:
            async with pool.acquire():
                served.append(number)

        lent = [await pool.take() for _ in range(MOST)]
        asking = []
        for number in range(5):
            asking.append(asyncio.create_task(ask(number)))
            await waiting(pool, number + 1)
        asking[1].cancel()
        for connection in lent:
            pool.give_back(connection, None)
        await asyncio.gather(*asking, return_exceptions=True)
        assert served == [0, 2, 3, 4]

    lend(in_line)


def test_what_comes_to_somebody_who_no_longer_waits_goes_to_the_next(lend: Lend) -> None:
    async def too_late(pool: Pool) -> None:
        lent = [await pool.take() for _ in range(MOST)]
        first, second = asyncio.create_task(pool.take()), asyncio.create_task(pool.take())
        await waiting(pool, 2)
        pool.give_back(lent[0], None)
        first.cancel()
        assert await second is lent[0]
        assert first.cancelled()
        for connection in lent:
            pool.give_back(connection, None)

    lend(too_late)


def test_what_the_database_refuses_leaves_a_connection_as_it_was(lend: Lend) -> None:
    async def refused(pool: Pool) -> None:
        before = await process(pool)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await pool.fetchrow("SELECT 1 / 0")
        assert await process(pool) == before

    lend(refused)


def test_what_was_broken_off_is_not_lent_again(lend: Lend) -> None:
    async def broken_off(pool: Pool) -> None:
        before = await process(pool)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.fetchrow("SELECT pg_sleep(20)")
        assert pool.size == 0
        assert await process(pool) != before

    lend(broken_off)


def test_a_transaction_that_was_left_open_is_not_lent_on(lend: Lend) -> None:
    async def left_open(pool: Pool) -> None:
        before = await process(pool)
        connection = await pool.take()
        await connection.execute("BEGIN")
        pool.give_back(connection, LookupError())
        assert await process(pool) != before

    lend(left_open)


def test_a_transaction_that_was_ended_by_an_error_leaves_its_connection(lend: Lend) -> None:
    async def ended(pool: Pool) -> None:
        before = await process(pool)
        with pytest.raises(LookupError):
            async with pool.acquire() as connection, connection.transaction():
                raise LookupError
        assert await process(pool) == before

    lend(ended)


def test_a_connection_that_the_server_has_ended_is_not_lent(lend: Lend) -> None:
    async def ended(pool: Pool) -> None:
        async with pool.acquire() as connection, pool.acquire() as other:
            mine = await connection.fetchval("SELECT pg_backend_pid()")
            await other.fetchval("SELECT pg_terminate_backend($1, 20000)", mine)
            await until(connection.is_closed)
        assert pool.size == 1
        assert await process(pool) != mine

    lend(ended)


def test_who_waits_for_a_connection_that_is_lost_gets_a_new_one(lend: Lend) -> None:
    async def lost(pool: Pool) -> None:
        lent = [await pool.take() for _ in range(MOST)]
        asking = asyncio.create_task(process(pool))
        await waiting(pool, 1)
        pool.give_back(lent.pop(), TimeoutError())
        assert await asking
        assert pool.size == MOST
        for connection in lent:
            pool.give_back(connection, None)

    lend(lost)


def test_what_can_not_be_made_leaves_its_place(lend: Lend) -> None:
    async def unmade(pool: Pool) -> None:
        connect = pool.connect

        async def nowhere() -> asyncpg.Connection:
            return await asyncpg.connect(host="127.0.0.1", port=1)

        pool.connect = nowhere
        async with pool.acquire():
            for _ in range(MOST + 1):
                with pytest.raises(ConnectionRefusedError):
                    await pool.take()
        assert pool.size == 1
        pool.connect = connect
        assert len({await pool.take() for _ in range(MOST)}) == MOST
        for connection in [*pool.connections]:
            pool.give_back(connection, None)

    lend(unmade)


def test_what_nobody_needed_for_long_is_closed(lend: Lend, monkeypatch: pytest.MonkeyPatch) -> None:
    async def idle(pool: Pool) -> None:
        lent = [await pool.take() for _ in range(MOST)]
        monkeypatch.setattr(pools, "IDLE", -1.0)
        for connection in lent:
            pool.give_back(connection, None)
        assert pool.size == 1
        assert [connection.is_closed() for connection in lent] == [True, True, False]
        fresh = await pool.take()
        assert fresh not in lent
        monkeypatch.undo()
        pool.give_back(fresh, None)

    lend(idle)


def test_closing_waits_for_what_is_lent_and_lends_nothing_more(lend: Lend) -> None:
    async def closed(pool: Pool) -> None:
        lent = [await pool.take() for _ in range(MOST)]
        in_line = asyncio.create_task(process(pool))
        await waiting(pool, 1)
        closing = asyncio.create_task(pool.close())
        await waiting(pool, 2)
        with pytest.raises(asyncpg.InterfaceError):
            await pool.take()
        for connection in lent:
            pool.give_back(connection, None)
        assert await in_line
        await closing
        assert all(connection.is_closed() for connection in lent)

    lend(closed)


def test_what_does_not_come_back_is_cut_off(lend: Lend) -> None:
    async def cut_off(pool: Pool) -> None:
        asking = asyncio.create_task(pool.fetchrow("SELECT pg_sleep(20)"))
        await until(lambda: not pool.idle)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.close(), 0.01)
        pool.terminate()
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await asking

    lend(cut_off)


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), OSError(), asyncpg.InterfaceError(""), asyncpg.InternalClientError()],
    ids=lambda error: type(error).__name__,
)
def test_what_was_left_in_the_middle_of_something_is_not_lent_again(lend: Lend, error: BaseException) -> None:
    async def left(pool: Pool) -> None:
        before = await process(pool)
        pool.give_back(await pool.take(), error)
        assert pool.size == 0
        assert await process(pool) != before

    lend(left)


def test_what_the_server_has_ended_while_nobody_needed_it_is_not_lent(lend: Lend) -> None:
    async def ended(pool: Pool) -> None:
        async with pool.acquire() as other:
            mine = await process(pool)
            await other.fetchval("SELECT pg_terminate_backend($1, 20000)", mine)
            (idle,) = pool.idle
            await until(idle[0].is_closed)
            assert await process(pool) != mine

    lend(ended)


def test_what_is_cut_off_lends_nothing_more(lend: Lend) -> None:
    async def cut_off(pool: Pool) -> None:
        pool.terminate()
        with pytest.raises(asyncpg.InterfaceError):
            await pool.take()

    lend(cut_off)


def test_closing_waits_though_the_line_is_full(lend: Lend) -> None:
    async def full(pool: Pool) -> None:
        pool.queue = 1
        lent = [await pool.take() for _ in range(MOST)]
        in_line = asyncio.create_task(process(pool))
        await waiting(pool, 1)
        closing = asyncio.create_task(pool.close())
        await waiting(pool, 2)
        for connection in lent:
            pool.give_back(connection, None)
        assert await in_line
        await closing

    lend(full)


def test_who_may_wait_or_have_a_connection_is_known(lend: Lend) -> None:
    async def room(pool: Pool) -> None:
        pool.queue = 2
        assert pool.room == MOST + 2
        lent = [await pool.take() for _ in range(MOST)]
        assert pool.room == 2
        in_line = asyncio.create_task(process(pool))
        await waiting(pool, 1)
        assert pool.room == 1
        for connection in lent:
            pool.give_back(connection, None)
        await in_line
        assert pool.room == MOST + 2

    lend(room)
