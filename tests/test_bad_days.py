"""When the database is away, slow, or of another version: 503, and all is well again once it is back."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Engine, make_url, text

from pamps import schema, startup
from pamps.app import create_app
from pamps.config import Settings
from pamps.db import drivers
from pamps.db.database import Database
from pamps.errors import DatabaseUnavailable
from pamps.queries import post as posts
from pamps.queries.health import revision
from tests.api import Api, problem
from tests.document import OPERATIONS, Operation
from tests.factories import PASSWORD, World
from tests.forge import signed
from tests.locks import WAITING, until_waiting
from tests.tables import unchanged
from tests.test_bodies import GOOD
from tests.test_errors import NOBODY_LISTENS

WITHOUT_DATABASE = {"/", "/livez"}
TERMINATE = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pamps'
"""


def elsewhere(settings: Settings, **changes: Any) -> Api:
    """The service with another setting of the database."""
    return Api(create_app(settings.model_copy(update={"db": settings.db.model_copy(update=changes)})))


def good(operation: Operation) -> dict[str, Any]:
    """What makes a good request of an operation: as far as the database is asked, nothing is wrong with it."""
    headers = {"Authorization": f"Bearer {signed()}"}
    if operation.path == "/token":
        return {"data": {"username": "ada", "password": "x"}}
    if operation.path in ("/refresh_token", "/revoke_token"):
        return {"json": dict.fromkeys(GOOD[operation.method, operation.path], "A" * 86)}
    if operation.media_types:
        return {"json": GOOD[operation.method, operation.path], "headers": headers}
    return {"headers": headers}


def answers(api: Api) -> dict[Operation, tuple[int, str]]:
    """What every route that needs the database answers."""
    return {
        one: problem(api.request(one.method, one.url, **good(one)))
        for one in OPERATIONS
        if one.path not in WITHOUT_DATABASE
    }


def test_without_a_database_every_route_that_needs_it_says_so(settings: Settings) -> None:
    with elsewhere(settings, uri=NOBODY_LISTENS) as api:
        assert set(answers(api).values()) == {(503, "database-unavailable")}
        assert api.get("/post/").headers["retry-after"] == "5"
        assert [api.get(path).status_code for path in ("/", "/livez", "/docs", "/openapi.json")] == [200] * 4


def test_on_an_empty_database_every_route_says_that_the_schema_is_behind(
    settings: Settings, new_database: Callable[[], str]
) -> None:
    with elsewhere(settings, uri=new_database()) as api:
        assert set(answers(api).values()) == {(503, "schema-behind")}
        assert api.get("/livez").status_code == 200
        startup.migrate(api.application.state.settings.db.uri)
        assert (api.get("/readyz").status_code, api.get("/post/").json()) == (200, [])


OLDER, NEWER = schema.revisions()[1], "2099_01_01_later"
ADVICE = {
    OLDER: f"the schema is at {OLDER}, this version needs {schema.head()}; run: pamps migrate",
    NEWER: f"the database's schema is {NEWER}, of a Pamps that is newer than this one: install that",
}


@pytest.mark.parametrize(("found", "advice"), ADVICE.items(), ids=["older", "newer"])
def test_a_database_of_another_version_is_not_ready(
    settings: Settings, migrated_database: Callable[[], str], found: str, advice: str
) -> None:
    uri = migrated_database()
    engine = drivers.engine(uri)
    with elsewhere(settings, uri=uri) as api:
        assert api.get("/readyz").status_code == 200
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{found}'"))
        response = api.get("/readyz")
        assert problem(response) == (503, "schema-behind")
        assert response.json()["detail"] == advice
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM alembic_version"))
            connection.execute(text('DROP TABLE "like"'))
        assert problem(api.get("/readyz")) == (503, "schema-behind")
        assert problem(api.get("/post/1/likes/")) == (503, "schema-behind")
        assert api.get("/user/").json() == []
    engine.dispose()


@pytest.mark.parametrize("wrong", ["database", "password"])
def test_a_database_that_does_not_let_us_in_is_unavailable(settings: Settings, uri: str, wrong: str) -> None:
    if wrong == "password" and not make_url(uri).password:
        wrong = "username"  # the server trusts the socket, whose folder is closed to others
    parts: dict[str, Any] = {wrong: "wrong"}
    changed = make_url(uri).set(**parts).render_as_string(hide_password=False)
    with elsewhere(settings, uri=changed) as api:
        assert problem(api.get("/post/")) == (503, "database-unavailable")
        assert problem(api.get("/readyz")) == (503, "database-unavailable")


@pytest.mark.parametrize(
    ("how", "code"), [("pg_cancel_backend", "database-busy"), ("pg_terminate_backend", "database-unavailable")]
)
def test_a_statement_that_is_cut_off_has_written_nothing_and_the_next_one_works(
    api: Api, world: World, engine: Engine, how: str, code: str
) -> None:
    as_ada = api.as_(world.sign_in(world.user("ada"))[0])
    with ThreadPoolExecutor(1) as thread, unchanged(engine):
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE post IN SHARE MODE"))
            answer = thread.submit(as_ada.post, "/post/", json={"text": "Hello"})
            until_waiting(engine)
            with engine.connect() as other:
                other.execute(text(f"SELECT {how}(pid) FROM ({WAITING}) AS waiting"))
        assert problem(answer.result()) == (503, code)
    assert as_ada.post("/post/", json={"text": "Hello"}).status_code == 201


@pytest.mark.parametrize("turns", range(8))
def test_connections_that_were_all_lost_are_made_again(api: Api, engine: Engine, turns: int) -> None:
    database: Database = api.application.state.database

    async def ask_after_losing() -> Any:
        """Ask so many turns of the loop after the server's farewell has come: in the middle of it, or just behind."""
        await database.row(revision)
        with engine.connect() as connection:
            assert all(connection.scalars(text(TERMINATE)).all())
        for _ in range(turns):
            await asyncio.sleep(0)
        with suppress(DatabaseUnavailable):
            return await database.row(revision)

    assert api.portal is not None
    api.portal.call(ask_after_losing)
    assert api.get("/readyz").status_code == 200


def test_an_unfit_argument_is_not_blamed_on_the_database(settings: Settings) -> None:
    # With connections of its own: asyncpg leaves this one in the middle of a statement.
    with elsewhere(settings) as api:
        database: Database = api.application.state.database
        assert api.portal is not None
        with pytest.raises(asyncpg.DataError, match="out of int64 range"):
            api.portal.call(partial(database.one, posts.read, id=2**63))


def test_a_statement_that_takes_too_long_is_given_up(settings: Settings, world: World, engine: Engine) -> None:
    as_ada = world.sign_in(world.user("ada"))[0]
    # A second, so that the last statement, which nothing holds up, makes it on a busy machine.
    with elsewhere(settings, statement_timeout=1, pool_min_size=1, pool_size=1) as api:
        with unchanged(engine), engine.begin() as connection:
            connection.execute(text("LOCK TABLE post IN SHARE MODE"))
            for _ in range(2):  # the connection is whole again, and only one
                response = api.as_(as_ada).post("/post/", json={"text": "Hello"})
                assert problem(response) == (503, "database-busy")
                assert response.headers["retry-after"] == "1"
            assert api.get("/post/").status_code == 200
        assert api.as_(as_ada).post("/post/", json={"text": "Hello"}).status_code == 201


def test_a_lock_that_is_held_too_long_is_not_waited_for(settings: Settings, world: World, engine: Engine) -> None:
    ada = world.user("ada")
    post = world.post(by=ada)
    with elsewhere(settings, lock_timeout=0.1, pool_min_size=1, pool_size=1) as api:
        as_ada = api.as_(world.sign_in(ada)[0])
        with unchanged(engine), engine.begin() as connection:
            connection.execute(text("SELECT FROM post FOR UPDATE"))
            for method, path, body in (
                ("PATCH", f"/post/{post.id}/", {"text": "Changed"}),
                ("DELETE", f"/post/{post.id}/", None),
                ("POST", f"/post/{post.id}/like/", None),
                ("POST", "/post/", {"text": "Hello", "parent_id": post.id}),
                ("DELETE", "/user/me/", {"password": PASSWORD}),  # a patient one, but not with locks
            ):
                assert problem(as_ada.request(method, path, json=body)) == (503, "database-busy")
            assert api.get(f"/post/{post.id}/").json()["like_count"] == 0
        assert as_ada.post(f"/post/{post.id}/like/").status_code == 201


@pytest.fixture
def slow_to_leave(engine: Engine) -> Iterator[None]:
    """Whoever leaves has left so much that it takes a while."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(1.5); RETURN OLD; END $$"
            )
        )
        connection.execute(text('CREATE TRIGGER slow BEFORE DELETE ON "user" EXECUTE FUNCTION take_long()'))
    yield
    with engine.begin() as connection:
        connection.execute(text("DROP FUNCTION take_long CASCADE"))


@pytest.mark.usefixtures("slow_to_leave")
def test_leaving_may_take_longer_than_a_statement(settings: Settings, world: World) -> None:
    ada = world.user("ada")
    with elsewhere(settings, statement_timeout=0.5) as api:
        left = api.as_(world.sign_in(ada)[0]).request("DELETE", "/user/me/", json={"password": PASSWORD})
        assert left.status_code == 204
        assert problem(api.get("/user/ada/")) == (404, "user-not-found")
