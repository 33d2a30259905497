"""A POST that is sent again with its Idempotency-Key: one write, and the same answer each time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import Response
from sqlalchemy import Engine, text

from pamps.config import Settings
from pamps.idempotency import LEFT_OUT, Asked
from pamps.models import User
from pamps.queries import idempotency as keys
from pamps.routing import Route
from tests.api import Api, Signed, problem
from tests.document import OPERATIONS, Operation
from tests.factories import PASSWORD, World
from tests.statements import STATEMENTS
from tests.tables import tables, unchanged
from tests.test_bodies import GOOD
from tests.watched import Watched

NEW = {"email": "new@example.com", "username": "new", "password": PASSWORD}
TAKEN = [one for one in OPERATIONS if "Idempotency-Key" in one.parameters("header")]
# What the clients that there are may send, and the same key in the form of the draft.
SPELLINGS = [('"a1"', "a1"), (r'"a\"\\1"', r'"a\"\\1"'), ('"a.b_c~d:e/f+g=h@i-j"', "a.b_c~d:e/f+g=h@i-j")]
MALFORMED = ["", '""', '"', "a b", "a,b", 'a"', '"a', '"a" "b"', "é", '"é"', '"\t"', '"a\\b"', "a;b", ":a:;", "a" * 256]


def key(text: str | None = None) -> dict[str, str]:
    """The headers with a key: a new one, unless one is named."""
    return {"Idempotency-Key": text or f'"{uuid4()}"'}


def same(first: Response, second: Response) -> bool:
    """That two answers are one: in all that the service says, but for the id that each request has."""
    headers = [
        {name: value for name, value in one.headers.items() if name != "x-request-id"} for one in (first, second)
    ]
    return (first.status_code, first.content, headers[0]) == (second.status_code, second.content, headers[1])


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f'SELECT count(*) FROM "{table}"')))


@pytest.fixture
def ada(world: World) -> User:
    """Who may ask for whatever the operations name: bob is user 1, and post 1 is his."""
    world.post(by=world.user("bob"))
    return world.user("ada")


@pytest.fixture
def as_ada(api: Api, world: World, ada: User) -> Signed:
    return api.as_(world.sign_in(ada)[0])


def send(who: Signed | Api, operation: Operation, headers: dict[str, str]) -> Response:
    body = {"json": GOOD[operation.method, operation.path]} if operation.media_types else {}
    found: Response = who.request(operation.method, operation.url, headers=headers, **body)
    return found


# Which requests.


def test_every_post_takes_a_key_unless_it_is_named_here(running: Api) -> None:
    posts = {
        route.path
        for route in running.application.routes
        if isinstance(route, Route) and "POST" in (route.methods or ())
    }
    assert {one.path for one in TAKEN} == posts - LEFT_OUT
    assert posts >= LEFT_OUT
    assert {one.method for one in TAKEN} == {"POST"}


@pytest.mark.parametrize("operation", TAKEN, ids=lambda one: one.path)
def test_sent_again_it_writes_nothing_and_answers_the_same(
    as_ada: Signed, engine: Engine, operation: Operation
) -> None:
    headers = key()
    first = send(as_ada, operation, headers)
    assert first.is_success, first.text
    with unchanged(engine):
        assert same(send(as_ada, operation, headers), first)
        assert same(send(as_ada, operation, headers), first)
    assert count(engine, "idempotency_key") == 1


@pytest.mark.parametrize("operation", TAKEN, ids=lambda one: one.path)
def test_without_a_key_nothing_is_kept(as_ada: Signed, engine: Engine, operation: Operation) -> None:
    assert send(as_ada, operation, {}).is_success
    assert count(engine, "idempotency_key") == 0


def test_methods_that_are_safe_to_repeat_anyway_take_no_notice_of_a_key(as_ada: Signed, engine: Engine) -> None:
    headers = key()
    for method, path, body in (
        ("GET", "/post/1/", {}),
        ("PATCH", "/user/me/", {"json": {"name": "Ada"}}),
        ("PATCH", "/user/me/", {"json": {"name": "Ada L."}}),
        ("DELETE", "/post/1/like/", {}),
    ):
        assert as_ada.request(method, path, headers=headers, **body).status_code == 200
    assert count(engine, "idempotency_key") == 0


@pytest.mark.parametrize("trailing", ["", "/"])
def test_what_is_created_is_where_the_first_answer_said(as_ada: Signed, engine: Engine, trailing: str) -> None:
    headers = key()
    first = as_ada.post("/post/", json={"text": "Hello!"}, headers=headers)
    second = as_ada.post(f"/post{trailing}", json={"text": "Hello!"}, headers=headers)
    assert second.headers["location"] == first.headers["location"] == f"/post/{first.json()['id']}/"
    assert count(engine, "post") == 2


def test_the_answer_is_what_it_was_whatever_has_happened_since(as_ada: Signed) -> None:
    headers = key()
    first = as_ada.post("/post/", json={"text": "Hello!"}, headers=headers)
    address = first.headers["location"]
    assert as_ada.patch(address, json={"text": "Changed"}).status_code == 200
    assert same(as_ada.post("/post/", json={"text": "Hello!"}, headers=headers), first)
    assert as_ada.delete(address).status_code == 204
    assert same(as_ada.post("/post/", json={"text": "Hello!"}, headers=headers), first)
    assert problem(as_ada.get(address)) == (404, "post-not-found")


def test_a_like_that_was_taken_back_is_not_given_again(as_ada: Signed, engine: Engine) -> None:
    headers = key()
    assert as_ada.post("/post/1/like/", headers=headers).status_code == 201
    assert as_ada.delete("/post/1/like/").status_code == 200
    assert as_ada.post("/post/1/like/", headers=headers).status_code == 201
    assert count(engine, "like") == 0


def test_what_stood_already_is_remembered_as_that(as_ada: Signed) -> None:
    assert as_ada.post("/post/1/like/").status_code == 201
    headers = key()
    assert [as_ada.post("/post/1/like/", headers=headers).status_code for _ in range(2)] == [200, 200]


# Which key.


@pytest.mark.parametrize(("quoted", "sent"), SPELLINGS)
def test_a_key_is_the_same_with_quotes_and_without(as_ada: Signed, engine: Engine, quoted: str, sent: str) -> None:
    first = as_ada.post("/post/", json={"text": "Hello!"}, headers=key(quoted))
    assert same(as_ada.post("/post/", json={"text": "Hello!"}, headers=key(sent)), first)
    assert count(engine, "post") == 2


def test_what_differs_in_the_key_alone_is_another_request(as_ada: Signed, engine: Engine) -> None:
    for one in ('"a"', '"A"', '"a "', r'"\""', r'"\\"', '"' + "a" * 255 + '"'):
        assert as_ada.post("/post/", json={"text": "Hello!"}, headers=key(one)).status_code == 201
    assert count(engine, "post") == 7


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_key_that_can_not_be_read_is_refused(as_ada: Signed, engine: Engine, malformed: str) -> None:
    with unchanged(engine):
        response = as_ada.post(
            "/post/", json={"text": "Hello!"}, headers={"Idempotency-Key": malformed.encode("latin-1")}
        )
    assert problem(response) == (400, "malformed-idempotency-key")


def test_two_keys_are_none(api: Api, as_ada: Signed, engine: Engine) -> None:
    headers = [*as_ada.headers.items(), ("Idempotency-Key", '"a"'), ("Idempotency-Key", '"b"')]
    with unchanged(engine):
        response = api.post("/post/", json={"text": "Hello!"}, headers=headers)
    assert problem(response) == (400, "malformed-idempotency-key")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/post/", {"text": "Hello?"}),
        ("/post/", {"text": "Hello!", "parent_id": 1}),
        ("/post/?x=1", {"text": "Hello!"}),
        ("/user/follow/bob/", None),
        ("/post/1/like/", None),
        ("/user/", NEW),
    ],
)
def test_a_key_of_another_request_is_refused(as_ada: Signed, engine: Engine, path: str, body: Any) -> None:
    headers = key()
    first = as_ada.post("/post/", json={"text": "Hello!"}, headers=headers)
    with unchanged(engine):
        assert problem(as_ada.post(path, json=body, headers=headers)) == (422, "idempotency-key-reused")
        assert same(as_ada.post("/post/", json={"text": "Hello!"}, headers=headers), first)


def test_a_refusal_is_not_kept(as_ada: Signed, world: World, ada: User, engine: Engine) -> None:
    """Nothing was written, so the key is still free: for the same request, and for one that is mended."""
    headers = key()
    with unchanged(engine):
        for body, refused in (
            ({"text": "Hello!", "parent_id": 2}, (404, "parent-not-found")),
            ({"text": ""}, (422, "invalid-request")),
        ):
            assert problem(as_ada.post("/post/", json=body, headers=headers)) == refused
    world.post(by=ada, id=2)
    assert as_ada.post("/post/", json={"text": "Hello!", "parent_id": 2}, headers=headers).status_code == 201


# Whose key.


def test_a_key_is_its_users_own(api: Api, as_ada: Signed, world: World, engine: Engine) -> None:
    as_eve = api.as_(world.sign_in(world.user("eve"))[0])
    headers = key()
    answers = [who.post("/post/", json={"text": "Hello!"}, headers=headers) for who in (as_ada, as_eve)]
    assert [answer.json()["user"]["username"] for answer in answers] == ["ada", "eve"]
    assert problem(api.post("/post/", json={"text": "Hello!"}, headers=headers)) == (401, "not-signed-in")
    assert count(engine, "post") == 3


def test_a_key_serves_all_sessions_of_its_user(api: Api, as_ada: Signed, world: World, ada: User) -> None:
    headers = key()
    first = as_ada.post("/post/", json={"text": "Hello!"}, headers=headers)
    elsewhere = api.as_(world.sign_in(ada)[0])
    assert same(elsewhere.post("/post/", json={"text": "Hello!"}, headers=headers), first)


def test_whoever_may_no_longer_ask_gets_no_answer_of_before(api: Api, world: World, ada: User, engine: Engine) -> None:
    token, refresh = world.sign_in(ada)
    headers = key()
    publish = partial(api.as_(token).post, "/post/", json={"text": "Hello!"}, headers=headers)
    assert publish().status_code == 201
    assert api.post("/revoke_token", json={"token": refresh.text}).status_code == 200
    with unchanged(engine):
        assert problem(publish()) == (401, "session-ended")


def test_with_the_account_go_its_answers(api: Api, as_ada: Signed, engine: Engine) -> None:
    headers = key()
    assert as_ada.post("/post/", json={"text": "Hello!"}, headers=headers).status_code == 201
    assert as_ada.delete("/user/me/", json={"password": PASSWORD}).status_code == 204
    assert problem(as_ada.post("/post/", json={"text": "Hello!"}, headers=headers)) == (401, "session-ended")
    assert count(engine, "idempotency_key") == 0


# Signing up, where nobody is signed in.


@pytest.mark.parametrize("changed", [{"password": "another password"}, {"email": "x@example.com"}, {"name": "New"}])
def test_who_guesses_a_key_of_a_sign_up_gets_nothing_by_it(api: Api, engine: Engine, changed: dict[str, str]) -> None:
    headers = key()
    first = api.post("/user/", json=NEW, headers=headers)
    assert first.status_code == 201
    with unchanged(engine):
        assert problem(api.post("/user/", json={**NEW, **changed}, headers=headers)) == (422, "idempotency-key-reused")
        assert same(api.post("/user/", json=NEW, headers=headers), first)
        assert problem(api.post("/user/", json=NEW)) == (409, "username-taken")


def test_nothing_that_is_kept_tells_a_key_or_a_password(api: Api, settings: Settings, engine: Engine) -> None:
    """Even whoever has the secret can't try out passwords on it: they would need the key."""
    body = api.post("/user/", json=NEW, headers=key('"the key"')).request.content
    (kept,) = tables(engine)["idempotency_key"]
    for told in ("the key", PASSWORD):
        assert told not in kept
        assert told.encode().hex() not in kept

    def fingerprint(guessed: bytes) -> str:
        return (
            Asked(guessed, b"\0".join((guessed, b"/user", b"", body))).fingerprint(settings.security.secret_key).hex()
        )

    assert fingerprint(b"the key") in kept
    assert fingerprint(b"a key") not in kept


def test_no_connection_waits_while_a_password_is_hashed(
    api: Api, world: World, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = api.application.state.passwords
    watched = Watched(passwords.context)
    monkeypatch.setattr(passwords, "context", watched)
    pool = api.application.state.database.pool
    with ThreadPoolExecutor(1) as thread:
        with watched.held_up():
            answer = thread.submit(api.post, "/user/", json=NEW, headers=key())
            watched.wait_for(1)
            assert len(pool.idle) == pool.size
        assert answer.result().status_code == 201


def test_a_guess_at_a_password_counts_with_a_key_too() -> None:
    """What a refusal takes back is what was written, and not that it was a guess."""
    counting = {name: statement.aside for name, statement in STATEMENTS.items() if "count_guess(" in statement.sql}
    assert counting.pop("session.credentials") is False  # of /token, which takes no key
    assert set(counting.values()) == {True}


# How long.


def aged(engine: Engine, hours: float) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE idempotency_key SET created_at = created_at - :hours * interval '1 hour'"), {"hours": hours}
        )


def test_an_answer_is_kept_for_a_day(as_ada: Signed, engine: Engine) -> None:
    headers = key()
    publish = partial(as_ada.post, "/post/", json={"text": "Hello!"}, headers=headers)
    first = publish()
    aged(engine, 23.9)
    assert same(publish(), first)
    aged(engine, 0.2)
    again = publish()
    assert again.json()["id"] == first.json()["id"] + 1
    assert same(publish(), again)
    assert count(engine, "idempotency_key") == 1


def test_what_is_old_is_thrown_away_and_nothing_else(api: Api, as_ada: Signed, engine: Engine) -> None:
    database, kept = api.application.state.database, api.application.state.settings.server.idempotency_hours
    assert api.portal
    sweep = partial(api.portal.call, partial(database.row, keys.sweep, kept=timedelta(hours=kept)))
    for _ in range(3):
        assert as_ada.post("/post/1/like/", headers=key()).is_success
    aged(engine, 24)
    assert as_ada.post("/post/1/like/", headers=key()).is_success
    assert [sweep()["count"] for _ in range(2)] == [3, 0]
    assert count(engine, "idempotency_key") == 1
