"""How answers come over a connection: the head with the beginning of the body, and nothing kept back."""

import asyncio
import select
from collections.abc import AsyncIterator, Iterator
from threading import Event

import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from pamps.app import create_app
from pamps.config import Settings
from tests.live import Connection, served
from tests.watched import PATIENCE


class Slow:
    """A route whose body comes in two parts, each when the test says so."""

    def __init__(self) -> None:
        self.asked = Event()
        self.proceed = [Event(), Event()]

    async def __call__(self, request: Request) -> StreamingResponse:
        return StreamingResponse(self.parts(), media_type="text/plain")

    async def parts(self) -> AsyncIterator[bytes]:
        self.asked.set()  # the head was handed over before the first part was asked for
        for number, event in enumerate(self.proceed):
            assert await asyncio.to_thread(event.wait, PATIENCE)
            yield b"part %d" % number


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def slow(app: FastAPI) -> Slow:
    slow = Slow()
    app.router.routes.insert(0, Route("/slow", slow.__call__))
    return slow


@pytest.fixture
def connection(app: FastAPI, slow: Slow) -> Iterator[Connection]:
    with served(app) as port, Connection(port) as connection:
        yield connection


def received(connection: Connection, end: bytes) -> bytes:
    """All that comes up to an end."""
    found = b""
    while not found.endswith(end):
        more = connection.socket.recv(65536)
        assert more, f"the connection ended after {found!r}"
        found += more
    return found


def test_a_head_comes_with_the_beginning_of_the_body_and_what_follows_at_once(
    connection: Connection, slow: Slow
) -> None:
    connection.send("GET /slow HTTP/1.1", "Host: x", "")
    assert slow.asked.wait(PATIENCE)
    readable, _, _ = select.select([connection.socket], [], [], 0)
    assert not readable
    slow.proceed[0].set()
    first = received(connection, b"part 0\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    slow.proceed[1].set()
    assert received(connection, b"0\r\n\r\n") == b"6\r\npart 1\r\n0\r\n\r\n"


def test_answers_without_a_body_are_not_kept_back(connection: Connection) -> None:
    connection.send("GET /livez HTTP/1.1", "Host: x", "")
    status, headers, body = connection.head()
    assert (status, body) == (200, b'{"status":"ok"}')
    for method, condition, expected in (("HEAD", "X: y", 200), ("GET", f"If-None-Match: {headers['etag']}", 304)):
        connection.send(f"{method} /livez HTTP/1.1", "Host: x", condition, "")
        assert connection.head()[::2] == (expected, b"")


def test_who_waits_to_be_told_to_go_on_is_told(connection: Connection) -> None:
    body = b"username=nobody&password=correct+horse+battery"
    connection.send(
        "POST /token HTTP/1.1",
        "Host: x",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        "Expect: 100-continue",
        "",
    )
    assert connection.head()[0] == 100
    connection.socket.sendall(body)
    assert connection.head()[0] == 401
