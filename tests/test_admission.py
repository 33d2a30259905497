"""More than can be done at once: a fast refusal of what is too much, and everything again once there is room."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from select import select
from socket import MSG_WAITALL
from typing import Any

import httpx2
import pytest
from httpx2 import Response
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from pamps.middleware.admission import Admission
from tests.api import Api, problem
from tests.factories import World
from tests.live import Connection, served
from tests.locks import until_waiting
from tests.tables import unchanged
from tests.test_metrics import SHOWN, TOKEN
from tests.test_watching import APP
from tests.watched import PATIENCE, until

GET = ("GET /post/ HTTP/1.1", "Host: x", "")


def changed(settings: Settings, **changes: dict[str, Any]) -> Settings:
    """With other settings of some sections, each request answered by itself, and however slow the tests are.

    Nothing is done besides, the exchange of the limits' counts or what looks after mail: else the statement of that may
    have the place in the line which a test is about.
    """
    assert not settings.mail.host
    changes.setdefault("server", {}).setdefault("coalesce", False)
    changes["limits"] = {"shared": False}
    changes["db"] = {"lock_timeout": PATIENCE, "statement_timeout": PATIENCE, "wait_timeout": PATIENCE} | changes.get(
        "db", {}
    )
    sections = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    return settings.model_copy(update={"env": "production", **sections})


@contextmanager
def blocked(engine: Engine, table: str = "post") -> Iterator[Callable[[int], None]]:
    """A table that nobody can read; gives what returns once so many statements wait for it."""

    with engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield partial(until_waiting, engine)


def test_more_than_may_be_in_flight_is_refused_at_once_and_served_again_later(
    settings: Settings, world: World, engine: Engine
) -> None:
    ada = world.sign_in(world.user("ada"))[0]
    with Api(create_app(changed(settings, server={"max_in_flight": 2}))) as api, ThreadPoolExecutor(2) as threads:
        as_ada = api.as_(ada)
        with unchanged(engine), blocked(engine) as wait_for:
            held = [threads.submit(api.get, f"/post/?limit={number}") for number in (1, 2)]
            wait_for(2)
            for refused in (api.get("/user/"), as_ada.post("/post/", json={"text": "too much"}), api.get("/docs")):
                assert problem(refused) == (503, "overloaded")
                assert refused.headers["retry-after"] == "1"
            assert [api.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]
            assert api.get("/static/swagger-ui.css").status_code == 200
        assert [one.result(PATIENCE).status_code for one in held] == [200, 200]
        assert as_ada.post("/post/", json={"text": "room again"}).status_code == 201
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT text FROM post")).all() == ["room again"]


def test_more_than_may_wait_for_a_connection_is_refused_at_once(
    settings: Settings, world: World, engine: Engine
) -> None:
    as_ada = world.sign_in(world.user("ada"))[0]
    narrow = changed(settings, db={"pool_min_size": 1, "pool_size": 1, "max_waiting": 2, "wait_timeout": PATIENCE})
    with Api(create_app(narrow)) as api, ThreadPoolExecutor(8) as threads:
        pool = api.application.state.database.pool
        with unchanged(engine), blocked(engine) as wait_for:
            held = [threads.submit(api.get, "/post/?limit=1")]
            wait_for(1)
            held += [threads.submit(api.get, f"/user/?limit={number}") for number in (1, 2)]
            until(lambda: len(pool.waiting) == 2)
            assert problem(api.get("/user/")) == (503, "overloaded")
            assert problem(api.as_(as_ada).post("/post/", json={"text": "too much"})) == (503, "overloaded")
            assert problem(api.get("/docs")) == (503, "overloaded"), "it went past the door"
            ready: Future[Response] = threads.submit(api.get, "/readyz")
            until(lambda: len(pool.waiting) == 3)
        assert [one.result(PATIENCE).status_code for one in (*held, ready)] == [200] * 4
        assert len(pool.waiting) == 0


def test_who_waits_too_long_for_a_connection_is_refused(settings: Settings, world: World, engine: Engine) -> None:
    narrow = changed(settings, db={"pool_min_size": 1, "pool_size": 1, "wait_timeout": 0.1})
    with Api(create_app(narrow)) as api, ThreadPoolExecutor(1) as threads:
        pool = api.application.state.database.pool
        with blocked(engine) as wait_for:
            held = threads.submit(api.get, "/post/")
            wait_for(1)
            assert problem(api.get("/user/")) == (503, "overloaded")
            assert len(pool.waiting) == 0
        assert held.result(PATIENCE).status_code == 200
        assert api.get("/user/").status_code == 200


def test_whose_body_is_still_coming_holds_nobody_up(settings: Settings, world: World, engine: Engine) -> None:
    token = world.sign_in(world.user("ada"))[0]
    body = b'{"text": "slowly"}'
    head = (
        f"POST /post/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    with served(create_app(changed(settings, server={"max_in_flight": 1}))) as port:
        slow = [Connection(port) for _ in range(5)]
        for one in slow:
            one.send(head)
            one.socket.sendall(body[:5])
            with Connection(port) as after:  # of two that come in one moment, the second finds the place taken
                after.send("GET /livez HTTP/1.1", "Host: x", "")
                assert after.head()[0] == 200
        with Connection(port) as quick:
            quick.send("GET /user/ HTTP/1.1", "Host: x", "")
            assert quick.head()[0] == 200
        with Connection(port) as held:
            with unchanged(engine), blocked(engine) as wait_for:
                held.send("GET /post/ HTTP/1.1", "Host: x", "")
                wait_for(1)
                # Another one has come meanwhile: it is refused, whole as it is, and nothing of it is written.
                slow[0].socket.sendall(body[5:])
                assert slow[0].head()[0] == 503
            assert held.head()[0] == 200
        for one in slow[1:]:
            one.socket.sendall(body[5:])
            assert one.head()[0] == 201
        for one in slow:
            one.socket.close()


@contextmanager
def overloaded(settings: Settings, engine: Engine, **changes: dict[str, Any]) -> Iterator[int]:
    """A service in which the one request that may be in flight is, until this ends; its port."""
    server = {"max_in_flight": 1, "cors_origins": (APP,)}
    with served(create_app(changed(settings, server=server, **changes))) as port, Connection(port) as held:
        with blocked(engine) as wait_for:
            held.send(*GET)
            wait_for(1)
            yield port
        assert held.head()[0] == 200


def answer(connection: Connection) -> tuple[int, bytes]:
    """The status and the body of just the next answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.socket.recv(1)
    size = next(int(line.split()[1]) for line in head.splitlines() if line.startswith(b"content-length:"))
    return int(head.split()[1]), connection.socket.recv(size, MSG_WAITALL)


def readable(connections: list[Connection]) -> list[Connection]:
    """Those for which something has come that has not been read."""
    return [one for one in connections if select([one.socket], [], [], 0)[0]]


def test_a_connection_goes_on_after_a_refusal(settings: Settings, engine: Engine, empty: None) -> None:
    with overloaded(settings, engine) as port, Connection(port) as connection:
        for _ in range(3):
            connection.send(*GET)
            assert answer(connection)[0] == 503
        connection.send("GET /livez HTTP/1.1", "Host: x", "")
        assert connection.head()[0] == 200


def test_the_body_of_a_refused_request_is_passed_over(settings: Settings, engine: Engine, empty: None) -> None:
    body = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with overloaded(settings, engine) as port, Connection(port) as connection:
        connection.send("POST /post/ HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "")
        assert answer(connection)[0] == 503
        connection.socket.sendall(body)
        connection.send("GET /readyz HTTP/1.1", "Host: x", "")
        assert connection.head()[2] == b'{"status":"ok"}'


def test_what_a_refusal_says_of_itself_is_what_any_answer_does(
    settings: Settings, engine: Engine, empty: None, capfd: pytest.CaptureFixture[str]
) -> None:
    told: dict[str, Any] = {"log": {"format": "json", "requests": True}, "metrics": {"token": TOKEN}}
    with overloaded(settings, engine, **told) as port:
        with Connection(port) as connection:
            connection.send(
                "HEAD /user/ HTTP/1.1", "Host: x", f"Origin: {APP}", "X-Request-ID: mine", "Connection: close", ""
            )
            status, headers, more = connection.head()
            assert (status, more + connection.rest()) == (503, b"")
        figures = httpx2.get(f"http://127.0.0.1:{port}/metrics", headers=SHOWN).text
    assert headers["retry-after"] == "1"
    assert headers["x-request-id"] == "mine"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["access-control-allow-origin"] == APP
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) > 100
    line = next(json.loads(line) for line in capfd.readouterr().err.splitlines() if '"mine"' in line)
    found = {name: line[name] for name in ("method", "status", "code", "bytes", "client", "route")}
    shown = {"method": "HEAD", "status": 503, "code": "overloaded", "bytes": 0, "client": "127.0.0.1", "route": None}
    assert found == shown
    assert 'pamps_request_seconds_count{method="HEAD",route="none",status="503"} 1.0' in figures
    assert 'pamps_problems_total{code="overloaded"} 1.0' in figures


def test_what_is_asked_on_one_connection_is_refused_in_its_turn(
    settings: Settings, engine: Engine, empty: None
) -> None:
    with overloaded(settings, engine) as port, Connection(port) as connection:
        # /readyz waits for the database, and what is asked after it for that.
        connection.send(*("GET /readyz HTTP/1.1", "Host: x", ""), *GET * 3, "GET /livez HTTP/1.1", "Host: x", "")
        answers = [answer(connection)[0] for _ in range(4)]
        assert answers == [200, 503, 503, 503]
        assert connection.head()[0] == 200


def test_who_asks_again_on_a_connection_needs_no_second_place(settings: Settings, empty: None) -> None:
    """Of two requests that come together the second begins within what the first ends with."""
    with served(create_app(changed(settings, server={"max_in_flight": 1}))) as port, Connection(port) as connection:
        connection.send(*GET * 10)
        assert [answer(connection)[0] for _ in range(10)] == [200] * 10


def test_of_those_who_come_at_the_same_moment_as_many_as_may_are_let_in(
    settings: Settings, engine: Engine, empty: None
) -> None:
    most, come = 3, 20
    with served(create_app(changed(settings, server={"max_in_flight": most}))) as port, ExitStack() as stack:
        clients = [stack.enter_context(Connection(port)) for _ in range(come)]
        for _ in range(3):
            with blocked(engine) as wait_for:
                for client in clients:
                    client.send(*GET)
                wait_for(most)
                until(lambda: len(readable(clients)) == come - most)
                refused = readable(clients)
                assert {answer(client)[0] for client in refused} == {503}
            assert {answer(client)[0] for client in clients if client not in refused} == {200}


def test_a_form_whose_turn_has_passed_is_refused_as_such(settings: Settings, world: World, engine: Engine) -> None:
    """FastAPI would answer 400 to whatever goes wrong while it reads a form."""
    world.user("ada")
    form = b"username=ada&password=wrong"
    with served(create_app(changed(settings, server={"max_in_flight": 1}))) as port, Connection(port) as slow:
        slow.send("POST /token HTTP/1.1", "Host: x", "Content-Type: application/x-www-form-urlencoded")
        slow.send(f"Content-Length: {len(form)}", "")
        with blocked(engine) as wait_for, Connection(port) as held:
            held.send("GET /post/ HTTP/1.1", "Host: x", "")
            wait_for(1)
            slow.socket.sendall(form)
            assert slow.head()[0] == 503


@pytest.mark.parametrize("ends", ["answered", "failed", "cancelled"])
def test_whatever_becomes_of_a_request_its_place_is_free_again(ends: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if ends == "failed":
            raise ValueError

    async def receive() -> Any:
        if ends == "cancelled":
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ask(admission: Admission) -> None:
        scope = {"type": "http", "method": "POST", "path": "/post/"}
        task = asyncio.create_task(admission(scope, receive, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel() if ends == "cancelled" else None
        await asyncio.gather(task, return_exceptions=True)

    admission = Admission(app, 1, lambda: 1)
    asyncio.run(ask(admission))
    assert admission.in_flight == 0
