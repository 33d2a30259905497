"""Requests at the same time, made sure to meet in the database."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from httpx2 import Response
from sqlalchemy import Engine, text

from pamps.queries import user as users
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.locks import until_waiting
from tests.tables import tables

NO_NEW_USERS = 'LOCK TABLE "user" IN SHARE MODE'
NO_NEW_FOLLOWS = "LOCK TABLE social IN SHARE MODE"
NO_USE_OF_USER_1 = 'SELECT FROM "user" WHERE id = 1 FOR UPDATE'
NO_USE_OF_SESSION_1 = "SELECT FROM session WHERE id = 1 FOR UPDATE"
NEW = "a better password"


class Lock:
    """Holds requests up in the database."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor):
        self.engine = engine
        self.threads = threads
        self.held = 0

    def hold(self, request: Callable[..., Response], *arguments: Any, **options: Any) -> "Future[Response]":
        """Send a request; return when it waits for the lock, behind those before it."""
        answer = self.threads.submit(request, *arguments, **options)
        self.held += 1
        until_waiting(self.engine, self.held)
        return answer


@contextmanager
def locked(engine: Engine, statement: str) -> Iterator[Lock]:
    with ThreadPoolExecutor(4) as threads, engine.begin() as connection:
        connection.execute(text(statement))
        yield Lock(engine, threads)


def codes(*answers: "Future[Response]") -> list[tuple[int, str]]:
    found = [answer.result() for answer in answers]
    return sorted(problem(one) if one.status_code >= 400 else (one.status_code, "") for one in found)


def register(username: str, email: str) -> dict[str, str]:
    return {"username": username, "email": f"{email}@example.com", "password": PASSWORD}


def test_of_two_who_register_one_username_at_once_one_gets_it(api: Api, engine: Engine) -> None:
    with locked(engine, NO_NEW_USERS) as lock:
        answers = [lock.hold(api.post, "/user/", json=register(name, name)) for name in ("Ada", "aDa")]
        answers += [lock.hold(api.post, "/user/", json=register("ada", "other"))]
    assert codes(*answers) == [(201, ""), (409, "username-taken"), (409, "username-taken")]
    assert len(tables(engine)["user"]) == 1


def test_of_two_who_register_one_email_at_once_one_gets_it(api: Api, engine: Engine) -> None:
    with locked(engine, NO_NEW_USERS) as lock:
        answers = [lock.hold(api.post, "/user/", json=register(name, "same")) for name in ("ada", "bob")]
    assert codes(*answers) == [(201, ""), (409, "email-taken")]
    assert len(tables(engine)["user"]) == 1


def test_of_two_who_change_to_one_username_at_once_one_gets_it(api: Api, world: World, engine: Engine) -> None:
    signed_in = [api.as_(world.sign_in(world.user(name))[0]) for name in ("ada", "bob")]
    with locked(engine, NO_NEW_USERS) as lock:
        answers = [lock.hold(one.patch, "/user/me/", json={"username": "cora"}) for one in signed_in]
    assert codes(*answers) == [(200, ""), (409, "username-taken")]


def test_following_twice_at_once_counts_once(api: Api, world: World, engine: Engine) -> None:
    as_ada = api.as_(world.sign_in(world.user("ada"))[0])
    world.user("bob")
    with locked(engine, NO_NEW_FOLLOWS) as lock:
        answers = [lock.hold(as_ada.post, "/user/follow/bob/") for _ in range(2)]
    assert codes(*answers) == [(200, ""), (201, "")]
    assert api.get("/user/bob/").json()["follower_count"] == 1


def test_a_refresh_token_used_twice_at_once_gives_tokens_once_and_ends_the_session(
    api: Api, world: World, engine: Engine
) -> None:
    access, token = world.sign_in(world.user("ada"))
    with locked(engine, NO_USE_OF_SESSION_1) as lock:
        answers = [lock.hold(api.post, "/refresh_token", json={"refresh_token": token.text}) for _ in range(2)]
    assert codes(*answers) == [(200, ""), (401, "session-ended")]
    assert tables(engine)["session"] == []
    given = [one.result().json()["refresh_token"] for one in answers if one.result().status_code == 200]
    assert problem(api.post("/refresh_token", json={"refresh_token": given[0]})) == (401, "session-ended")
    assert problem(api.as_(access).get("/user/me/")) == (401, "session-ended")


def test_no_sign_in_by_the_old_password_outlives_a_change_of_it(api: Api, world: World, engine: Engine) -> None:
    mine, _ = world.sign_in(world.user("ada"))
    change = {"current_password": PASSWORD, "new_password": NEW}
    with locked(engine, NO_USE_OF_USER_1) as lock:
        stranger = lock.hold(api.post, "/token", data={"username": "ada", "password": PASSWORD})
        changed = lock.hold(api.as_(mine).put, "/user/me/password/", json=change)
    assert changed.result().status_code == 204
    if stranger.result().status_code == 200:  # it came first, and was ended
        assert problem(api.as_(stranger.result().json()["access_token"]).get("/user/me/")) == (401, "session-ended")
    assert len(tables(engine)["session"]) == 1
    assert api.as_(mine).get("/user/me/").status_code == 200


def test_a_sign_in_that_waits_for_a_change_of_its_password_fails(api: Api, world: World, engine: Engine) -> None:
    mine, _ = world.sign_in(world.user("ada"))
    change = {"current_password": PASSWORD, "new_password": NEW}
    with locked(engine, NO_USE_OF_USER_1) as lock:
        changed = lock.hold(api.as_(mine).put, "/user/me/password/", json=change)
        stranger = lock.hold(api.post, "/token", data={"username": "ada", "password": PASSWORD})
    assert changed.result().status_code == 204
    if stranger.result().status_code == 200:
        assert problem(api.as_(stranger.result().json()["access_token"]).get("/user/me/")) == (401, "session-ended")
    assert len(tables(engine)["session"]) == 1


def test_no_sign_in_outlives_its_account(api: Api, world: World, engine: Engine) -> None:
    mine, _ = world.sign_in(world.user("ada"))
    with locked(engine, NO_USE_OF_USER_1) as lock:
        gone = lock.hold(api.as_(mine).request, "DELETE", "/user/me/", json={"password": PASSWORD})
        stranger = lock.hold(api.post, "/token", data={"username": "ada", "password": PASSWORD})
    assert gone.result().status_code == 204
    assert problem(stranger.result()) == (401, "wrong-credentials")
    assert tables(engine)["session"] == []


def test_no_sign_in_by_the_old_password_outlives_an_operators_change_of_it(
    api: Api, world: World, engine: Engine
) -> None:
    world.user("ada")
    database, portal = api.application.state.database, api.portal
    assert portal is not None
    set_password = partial(database.row, users.set_password, username="ada", password_hash="another", language=None)
    with locked(engine, NO_USE_OF_USER_1) as lock:
        stranger = lock.hold(api.post, "/token", data={"username": "ada", "password": PASSWORD})
        changed = lock.hold(portal.call, set_password)
    assert changed.result() is not None
    assert stranger.result().status_code in (200, 401)
    assert tables(engine)["session"] == []


def test_no_sign_in_outlives_a_suspension(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    root = api.as_(world.sign_in(world.user("root", role="admin"))[0])
    with locked(engine, NO_USE_OF_USER_1) as lock:
        suspended = lock.hold(root.put, "/user/ada/suspension/", json={"reason": "Spam."})
        ada = lock.hold(api.post, "/token", data={"username": "ada", "password": PASSWORD})
    assert codes(suspended, ada) == [(200, ""), (403, "account-suspended")]
    assert len(tables(engine)["session"]) == 1
