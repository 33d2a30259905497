"""Requests for the same thing at the same time are answered together, and none of them can tell."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from pamps.app import create_app
from pamps.config import Settings
from pamps.middleware.coalescing import Coalescing, no_body
from tests.api import Api
from tests.commands import Commands
from tests.hammering import read_while_written
from tests.processes import DEADLINE, serving

GET = {"type": "http", "scheme": "http", "method": "GET", "path": "/post/", "query_string": b"", "headers": []}
LONG = "x" * 4000  # so that reading takes long enough for others to come meanwhile


class Counting:
    """An application that answers with the number of the run, once it may."""

    def __init__(self) -> None:
        self.runs = 0
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.runs += 1
        run = self.runs
        await self.may_end.wait()
        if scope["path"] == "/bad/":
            raise ValueError(run)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(run).encode()})


async def asked(app: Coalescing, **scope: Any) -> str:
    """The body that a request gets."""
    found: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        found.append(message)

    await app({**GET, **scope}, receive, send)
    return b"".join(message.get("body", b"") for message in found).decode()


async def begun(*requests: Coroutine[Any, Any, str]) -> list[asyncio.Task[str]]:
    """Requests that are waiting for their answers."""
    tasks = [asyncio.create_task(request) for request in requests]
    await asyncio.sleep(0)
    return tasks


def run(test: Callable[[Counting, Coalescing], Coroutine[Any, Any, None]]) -> Counting:
    inner = Counting()
    app = Coalescing(inner)
    asyncio.run(asyncio.wait_for(test(inner, app), DEADLINE))
    assert app.waiting == {}
    assert app.runs == set()
    return inner


def test_who_comes_while_another_is_answered_waits_for_the_next_answer_together() -> None:
    async def test(inner: Counting, app: Coalescing) -> None:
        first = await begun(asked(app))
        later = await begun(*(asked(app) for _ in range(10)))
        inner.may_end.set()
        assert await asyncio.gather(*first) == ["1"]
        assert await asyncio.gather(*later) == ["2"] * 10
        assert await asked(app) == "3"

    run(test)


def test_nobody_waits_for_another_one_to_read_the_answer() -> None:
    async def test(inner: Counting, app: Coalescing) -> None:
        reads = asyncio.Event()

        async def send(message: Message) -> None:
            await reads.wait()

        slow = asyncio.create_task(app(GET, no_body(), send))
        (other,) = await begun(asked(app))
        inner.may_end.set()
        assert await other == "2"
        assert await asked(app) == "3"
        assert not slow.done()
        reads.set()
        await slow

    run(test)


def test_what_an_answer_may_depend_on_is_answered_apart() -> None:
    async def test(inner: Counting, app: Coalescing) -> None:
        different: list[dict[str, Any]] = [
            {},
            {"path": "/user/"},
            {"query_string": b"limit=1"},
            {"scheme": "https"},
            *(
                {"headers": [(name, b"x")]}
                for name in (b"host", b"authorization", b"accept", b"if-none-match", b"range", b"if-modified-since")
            ),
            {"headers": [(b"authorization", b"y")]},
            {"method": "HEAD"},
            {"method": "POST"},
            {"method": "POST"},
        ]
        tasks = await begun(*(asked(app, **scope) for scope in different))
        assert inner.runs == len(different)
        inner.may_end.set()
        assert len(set(await asyncio.gather(*tasks))) == len(different)

    run(test)


def test_what_no_answer_depends_on_is_answered_together() -> None:
    async def test(inner: Counting, app: Coalescing) -> None:
        tasks = await begun(*(asked(app, headers=[(b"user-agent", str(n).encode())]) for n in range(5)))
        inner.may_end.set()
        assert await asyncio.gather(*tasks) == ["1", "2", "2", "2", "2"]

    run(test)


def test_an_error_reaches_everybody_whom_it_concerns() -> None:
    async def test(inner: Counting, app: Coalescing) -> None:
        tasks = await begun(*(asked(app, path="/bad/") for _ in range(5)))
        inner.may_end.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(error) for error in found if isinstance(error, ValueError)] == ["1", "2", "2", "2", "2"]
        with pytest.raises(ValueError, match="3"):
            await asked(app, path="/bad/")

    run(test)


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_client_that_goes_takes_nobody_else_along(gone: int) -> None:
    async def test(inner: Counting, app: Coalescing) -> None:
        tasks = await begun(*(asked(app) for _ in range(4)))
        tasks[gone].cancel()
        inner.may_end.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        expected: list[Any] = ["1", "2", "2", "2"]
        assert [*found[:gone], *found[gone + 1 :]] == [*expected[:gone], *expected[gone + 1 :]]
        assert isinstance(found[gone], asyncio.CancelledError)

    run(test)


@pytest.mark.parametrize("on", [True, False])
def test_a_setting_turns_it_off(settings: Settings, on: bool) -> None:
    server = settings.server.model_copy(update={"coalesce": on})
    app = create_app(settings.model_copy(update={"server": server}))
    assert [str(middleware.cls) for middleware in app.user_middleware] == [str(Coalescing)] * on


def test_no_reader_sees_less_than_was_there_when_they_asked(tmp_path: Path, empty: None, uri: str) -> None:
    """Through two server processes."""
    pamps = Commands(uri, tmp_path)

    def latest(found: Any) -> int:
        return int(found[0]["text"].split()[0]) if found else 0

    with serving(pamps.folder, pamps.environment(), "--workers", "2") as server:
        ada = server.register("ada")

        def publish(client: httpx2.Client, number: int) -> httpx2.Response:
            return client.post("/post/", json={"text": f"{number} {LONG}"}, headers=ada)

        assert read_while_written(server.url, publish, 100, [("/post/?limit=100", {})] * 12, latest) > 100


def test_files_that_many_ask_for_at_once_are_answered_together(running: Api) -> None:
    """While a file is sent, its response listens for its client to go, which the one of several has not."""
    alone = running.get("/static/swagger-ui.css")
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: running.get("/static/swagger-ui.css"), range(64)))
    assert {(one.status_code, one.content) for one in answers} == {(200, alone.content)}
