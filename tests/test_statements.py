"""The statements: each is one that the database understands, and a request runs one, but for a few named here."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery
from pyotp import TOTP

from pamps.app import create_app
from pamps.config import Settings
from pamps.db.drivers import asyncpg_uri
from pamps.db.statement import Statement
from pamps.models import User
from pamps.models.mail import PASSWORD_RESET, VERIFICATION
from pamps.routing.route import Route
from tests.api import Api
from tests.factories import PASSWORD, World, recovery_code
from tests.statements import STATEMENTS

# A value for each parameter that any statement has.
VALUES: dict[str, Any] = {
    **dict.fromkeys(("id", "viewer", "session", "user_id", "parent_id", "limit", "cursor_id"), 7),
    **dict.fromkeys(("username", "email", "login", "text", "q", "name", "avatar", "bio", "password_hash", "seen"), "x"),
    **dict.fromkeys(("family_hash", "token_hash", "new_token_hash", "proof"), b"x"),
    **{"cursor_date": datetime(2026, 1, 1, tzinfo=UTC), "lasts": 60.0, "lately": 60.0},
    **dict.fromkeys(("user_agent", "ip", "address", "network"), "x"),
    **dict.fromkeys(("account_free", "address_free", "first_delay", "longest_delay", "forgotten_after"), 9),
    **{"known_for_days": 9, "known_here": False},
    **dict.fromkeys(("key", "fingerprint", "answer"), b"x"),
    **{"owner": 7, "status": 201, "headers": "{}", "kept": timedelta(hours=24)},
    **dict.fromkeys(("language", "seed", "kid"), "x"),
    **dict.fromkeys(("lasts", "spacing"), timedelta(hours=1)),
    "changes": "{}",
    **{"secret": "x", "step": 7, "recovery_code": "x", "new_codes": ["x"]},
    **{"names": ["x"], "ends": [datetime(2100, 1, 1, tzinfo=UTC)], "amounts": [1]},
    **{"role": "admin", "reason": "x"},
    **{"posts": ['{"(0,1)"}'], "users": ['{"(0,1)"}']},
    **{"stamps": ["7"], "viewers": [7], "sessions": [7], "proofs": [None]},
    **{"days": 7, "scopes": ["read"], "ids": [7], "times": [datetime(2026, 1, 1, tzinfo=UTC)]},
}


OURS = {statement.sql for statement in STATEMENTS.values()}
# The delivery of mail runs these when it comes to it, and no request.
OF_DELIVERY = {STATEMENTS[f"mail.{name}"].sql for name in ("send_password_reset", "forget_failed", "forget_log")}
every = pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)


def test_the_statements_are_found() -> None:
    assert {"post.publish", "like.unlike", "thread.thread", "follow.follow", "session.refresh"} < STATEMENTS.keys()
    assert len(STATEMENTS) > 35


@asynccontextmanager
async def connected(uri: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(asyncpg_uri(uri))
    try:
        yield connection
    finally:
        await connection.close()


@every
def test_the_database_understands_it_and_it_is_one(uri: str, statement: Statement) -> None:
    """What is more than one statement, or has a parameter of no known type, can't be prepared."""

    async def prepared() -> tuple[int, list[str]]:
        async with connected(uri) as connection:
            found = await connection.prepare(statement.sql)
            return len(found.get_parameters()), [column.name for column in found.get_attributes()]

    parameters, columns = asyncio.run(prepared())
    assert parameters == len(statement.order)
    assert columns


@every
def test_it_knows_the_names_of_its_parameters(statement: Statement) -> None:
    right = {name: VALUES[name] for name in statement.names}
    assert statement.arguments(right) == [VALUES[name] for name in statement.order]
    with pytest.raises(TypeError, match="unknown"):
        statement.arguments({**right, "unknown": 1})
    for name in right:
        with pytest.raises(TypeError, match=name):
            statement.arguments({other: value for other, value in right.items() if other != name})


# How many statements each route runs, and a request to each. `{me}` is the session that asks, `{refresh}` its token.

JSON = {"json": {"text": "Hello!"}}
ONE_STATEMENT: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("GET", "/post/"): ("/post/?cursor=5", {}),
    ("POST", "/post/"): ("/post/", {"json": {"text": "Hello!", "parent_id": 1}}),
    ("GET", "/post/user/{username}/"): ("/post/user/ada/", {}),
    ("GET", "/post/likes/{username}/"): ("/post/likes/ada/", {}),
    ("GET", "/post/{id}/"): ("/post/1/", {}),
    ("GET", "/post/{id}/replies/"): ("/post/1/replies/", {}),
    ("GET", "/post/{id}/thread/"): ("/post/1/thread/", {}),
    ("PATCH", "/post/{id}/"): ("/post/1/", JSON),
    ("DELETE", "/post/{id}/"): ("/post/1/", {}),
    ("POST", "/post/{id}/like/"): ("/post/1/like/", {}),
    ("DELETE", "/post/{id}/like/"): ("/post/1/like/", {}),
    ("GET", "/post/{id}/likes/"): ("/post/1/likes/", {}),
    ("GET", "/user/"): ("/user/?q=a", {}),
    ("POST", "/user/"): ("/user/", {"json": {"email": "eve@example.com", "username": "eve", "password": PASSWORD}}),
    ("GET", "/user/timeline/"): ("/user/timeline/", {}),
    ("GET", "/user/me/"): ("/user/me/", {}),
    ("PATCH", "/user/me/"): ("/user/me/", {"json": {"name": "Ada", "bio": None}}),
    ("GET", "/user/me/two-factor/"): ("/user/me/two-factor/", {}),
    ("GET", "/user/me/sessions/"): ("/user/me/sessions/", {}),
    ("DELETE", "/user/me/sessions/{id}/"): ("/user/me/sessions/2/", {}),
    ("GET", "/user/{username}/standing/"): ("/user/bob/standing/", {}),
    ("PUT", "/user/{username}/suspension/"): ("/user/bob/suspension/", {"json": {"reason": "Spam."}}),
    ("DELETE", "/user/{username}/suspension/"): ("/user/bob/suspension/", {}),
    ("PUT", "/user/{username}/role/"): ("/user/bob/role/", {"json": {"role": "moderator"}}),
    ("DELETE", "/post/{id}/by-moderator/"): ("/post/2/by-moderator/", {}),
    ("GET", "/user/me/tokens/"): ("/user/me/tokens/", {}),
    ("POST", "/user/me/tokens/"): ("/user/me/tokens/", {"json": {"name": "script", "scopes": ["read"]}}),
    ("DELETE", "/user/me/tokens/{id}/"): ("/user/me/tokens/1/", {}),
    ("POST", "/user/follow/{id}/"): ("/user/follow/bob/", {}),
    ("DELETE", "/user/follow/{id}/"): ("/user/follow/2/", {}),
    ("GET", "/user/{username}/"): ("/user/bob/", {}),
    ("GET", "/user/{username}/followers/"): ("/user/bob/followers/", {}),
    ("GET", "/user/{username}/following/"): ("/user/bob/following/", {}),
    ("POST", "/refresh_token"): ("/refresh_token", {"json": {"refresh_token": "{refresh}"}}),
    ("POST", "/revoke_token"): ("/revoke_token", {"json": {"token": "{refresh}"}}),
    ("GET", "/user/me/email/"): ("/user/me/email/", {}),
    ("POST", "/user/me/email/verification/"): ("/user/me/email/verification/", {}),
    ("POST", "/email_verification"): ("/email_verification", {"json": {"token": "{verification}"}}),
    # Of somebody's email delivery would make a link, maybe in the next test.
    ("POST", "/password_reset"): ("/password_reset", {"json": {"email": "nobody@example.com"}}),
    ("GET", "/readyz"): ("/readyz", {}),
}
# What a route may also be asked for, by its own statement.
OTHER_WAYS = (
    *("/post/?limit=100", "/post/user/ada/?include_replies=true&cursor=5", "/user/", "/user/?q=zo%C3%AB&cursor=5"),
    *("/post/2/likes/?cursor=1795942861000000-5", "/user/bob/followers/?cursor=1795942861000000-5"),
    *("/user/timeline/?include_replies=false", "/user/timeline/?cursor=5&limit=1"),
)
# Passwords are hashed outside of the database, between what reads the known hash and what acts on it.
TWO_STATEMENTS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("POST", "/token"): ("/token", {"data": {"username": "ada", "password": PASSWORD}}),
    ("PUT", "/user/me/password/"): (
        "/user/me/password/",
        {"json": {"current_password": PASSWORD, "new_password": "another password"}},
    ),
    ("DELETE", "/user/me/"): ("/user/me/", {"json": {"password": PASSWORD}}),
    ("POST", "/password_reset/confirm"): (
        "/password_reset/confirm",
        {"json": {"token": "{password_reset}", "new_password": "another password"}},
    ),
}
NO_STATEMENT: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("GET", path): (path, {}) for path in ("/", "/livez", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")
}
REQUESTS = [
    pytest.param(method, url, options, count, id=f"{method} {path}")
    for count, requests in enumerate((NO_STATEMENT, ONE_STATEMENT, TWO_STATEMENTS))
    for (method, path), (url, options) in requests.items()
]


class Counted:
    """The service on a single connection whose statements are counted: ours, and what else is said beside them."""

    def __init__(self, api: Api):
        self.api = api
        self.log: list[str] = []
        self.beside: list[str] = []
        self.on_loop(self.listen)

    async def listen(self) -> None:
        pool = await self.api.application.state.database.open()
        async with pool.acquire() as connection:
            connection.add_query_logger(self.heard)

    def heard(self, query: LoggedQuery) -> None:
        if query.query not in OF_DELIVERY:
            (self.log if query.query in OURS else self.beside).append(query.query)

    def clear(self) -> None:
        self.log.clear()
        self.beside.clear()

    def on_loop(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        assert self.api.portal
        self.api.portal.call(work)


@pytest.fixture(scope="module")
def counted(settings: Settings) -> Iterator[Counted]:
    alone = settings.model_copy(update={"db": settings.db.model_copy(update={"pool_min_size": 1, "pool_size": 1})})
    with Api(create_app(alone)) as api:
        yield Counted(api)


@pytest.fixture
def ada(world: World) -> User:
    ada, bob = world.user("ada", role="admin"), world.user("bob")
    world.user("root", role="admin")  # so that ada may leave
    post = world.post(by=ada)
    world.post(by=bob, parent=post)
    world.like(bob, post)
    world.follow(ada, bob)
    world.personal_token(ada)
    return ada


def test_every_route_is_counted(running: Api) -> None:
    routes = {
        (method, route.path)
        for route in running.application.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    assert {*ONE_STATEMENT, *TWO_STATEMENTS, *BY_TWO_FACTOR, *NO_STATEMENT} == routes


@pytest.mark.parametrize(("method", "url", "options", "count"), REQUESTS)
def test_a_request_runs_so_many_statements(
    counted: Counted, world: World, ada: User, method: str, url: str, options: dict[str, Any], count: int
) -> None:
    access_token, refresh_token = world.sign_in(ada)
    sent = json.dumps(options).replace("{refresh}", refresh_token.text)
    for kind in (VERIFICATION, PASSWORD_RESET):
        sent = sent.replace(f"{{{kind}}}", world.link(ada, kind))
    options = json.loads(sent)
    counted.clear()
    response = counted.api.as_(access_token).request(method, url, **options)
    assert response.is_success, response.text
    assert len(counted.log) == count, counted.log
    # A patient statement has a timeout of its own, and so a transaction around it. No other is worth the round trips.
    patient = (method, url) in {
        ("DELETE", "/user/me/"),
        *((verb, "/user/bob/suspension/") for verb in ("PUT", "DELETE")),
    }
    assert [said.split()[0].strip(";") for said in counted.beside] == ["BEGIN", "SET", "COMMIT"] * patient


@pytest.mark.parametrize("url", OTHER_WAYS)
def test_asked_in_another_way_it_runs_one_statement_too(counted: Counted, world: World, ada: User, url: str) -> None:
    as_ada = counted.api.as_(world.sign_in(ada)[0])
    for client in (as_ada,) if "timeline" in url else (as_ada, counted.api):
        counted.clear()
        assert client.get(url).status_code == 200
        assert (len(counted.log), counted.beside) == (1, [])


def test_a_statement_is_prepared_once_for_a_connection(counted: Counted, ada: User) -> None:
    prepared: list[list[tuple[str, datetime]]] = []

    async def look() -> None:
        pool = await counted.api.application.state.database.open()
        found = "SELECT name, prepare_time FROM pg_prepared_statements WHERE statement = $1"
        async with pool.acquire() as connection:
            prepared.append([tuple(row) for row in await connection.fetch(found, STATEMENTS["post.home"].sql)])

    for _ in range(2):
        assert counted.api.get("/post/").status_code == 200
        counted.on_loop(look)
    assert len(prepared[0]) == 1
    assert prepared[0] == prepared[1]


def test_what_is_refused_by_its_form_or_its_token_runs_no_statement(counted: Counted, ada: User) -> None:
    counted.clear()
    assert counted.api.post("/post/", json={"text": "x"}).status_code == 401
    assert counted.api.as_("forged").get("/post/").status_code == 401
    assert counted.api.get("/post/0/").status_code == 422
    assert counted.log == []


def test_what_the_database_refuses_runs_one_statement(counted: Counted, world: World, ada: User) -> None:
    as_ada = counted.api.as_(world.sign_in(ada)[0])
    for refused in (
        partial(as_ada.get, "/post/99/"),
        partial(as_ada.delete, "/post/2/"),
        partial(as_ada.post, "/post/", json={"text": "x", "parent_id": 99}),
        partial(as_ada.post, "/user/follow/ada/"),
    ):
        counted.clear()
        assert refused().status_code in (403, 404, 409)
        assert len(counted.log) == 1


BY_TWO_FACTOR = {
    ("POST", "/user/me/two-factor/"): 201,
    ("POST", "/user/me/two-factor/confirm/"): 200,
    ("POST", "/user/me/two-factor/recovery-codes/"): 200,
    ("DELETE", "/user/me/two-factor/"): 204,
}


def test_a_second_factor_is_changed_by_two_and_asked_for_by_three(counted: Counted, world: World, ada: User) -> None:
    """One reads what a guess is held against, one acts on it; where a code is missing, one takes the guess back."""
    as_ada = counted.api.as_(world.sign_in(ada)[0])
    secret, both = "", {"password": PASSWORD, "code": ""}
    for (method, path), status in BY_TWO_FACTOR.items():
        body = {"password": PASSWORD} if status == 201 else both
        if "confirm" in path:
            body = {"code": TOTP(secret).now()}
        counted.clear()
        response = as_ada.request(method, path, json=body)
        assert (response.status_code, len(counted.log)) == (status, 2)
        if status == 201:
            secret = response.json()["secret"]
        elif status == 200:
            both["code"] = response.json()["recovery_codes"][0]
    world.second_factor(ada)
    for code, status, count in (("", 401, 3), (recovery_code(0), 200, 2)):
        counted.clear()
        response = counted.api.post("/token", data={"username": "ada", "password": PASSWORD, "code": code})
        assert (response.status_code, len(counted.log)) == (status, count)


def test_a_sign_in_with_a_hash_of_old_runs_three(counted: Counted, world: World) -> None:
    """The third replaces the hash by one of today's kind."""
    bcrypt = world.passwords.context.handler("bcrypt").using(rounds=4).hash(PASSWORD)
    world.user("old", password_hash=bcrypt)
    counted.clear()
    assert counted.api.post("/token", data={"username": "old", "password": PASSWORD}).status_code == 200
    assert len(counted.log) == 3
