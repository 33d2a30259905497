"""More than can be done at once: a fast refusal of what is too much, and everything again once there is room."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from pamps.middleware.admission import Admission
from tests.api import Api, problem
from tests.factories import World
from tests.live import Connection, served
from tests.tables import unchanged
from tests.watched import PATIENCE, until

AT_A_LOCK = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def changed(settings: Settings, **changes: dict[str, Any]) -> Settings:
    """With other settings of some sections, each request answered by itself, and however slow the tests are.

    The limits' counts are not exchanged: else that statement may have the place in the line which a test is about.
    """
    changes.setdefault("server", {}).setdefault("coalesce", False)
    changes["limits"] = {"shared": False}
    changes["db"] = {"lock_timeout": PATIENCE, "statement_timeout": PATIENCE, "wait_timeout": PATIENCE} | changes.get(
        "db", {}
    )
    sections = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    return settings.model_copy(update=sections)


@contextmanager
def blocked(engine: Engine, table: str = "post") -> Iterator[Callable[[int], None]]:
    """A table that nobody can read; gives what returns once so many statements wait for it."""

    def wait_for(count: int) -> None:
        with engine.connect() as other:
            until(lambda: other.execute(text(AT_A_LOCK)).scalar_one() == count)

    with engine.begin() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield wait_for


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
    narrow = changed(settings, db={"pool_min_size": 1, "pool_size": 1, "max_waiting": 2})
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

    admission = Admission(app, 1, lambda: False)
    asyncio.run(ask(admission))
    assert admission.in_flight == 0
