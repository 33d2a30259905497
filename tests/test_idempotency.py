"""A POST that is sent again with its Idempotency-Key: one write, and the same answer each time."""

from typing import Any

import pytest
from sqlalchemy import Engine

from pamps.models import User
from pamps.routing.route import Route
from pamps.tokens import new_refresh_token
from tests.again import NEW, TAKEN, count, key, mailed, same, sendable
from tests.api import Api, Signed, problem
from tests.document import Operation
from tests.factories import World
from tests.tables import unchanged

pytest_plugins = "tests.again_fixtures"

# What the clients that there are may send, and the same key in the form of the draft.
SPELLINGS = [('"a1"', "a1"), (r'"a\"\\1"', r'"a\"\\1"'), ('"a.b_c~d:e/f+g=h@i-j"', "a.b_c~d:e/f+g=h@i-j")]
MALFORMED = ["", '""', '"', "a b", "a,b", 'a"', '"a', '"a" "b"', "é", '"é"', '"\t"', '"a\\b"', "a;b", ":a:;", "a" * 256]


# Which requests.


def test_every_post_takes_a_key(running: Api) -> None:
    posts = {
        route.path
        for route in running.application.routes
        if isinstance(route, Route) and "POST" in (route.methods or ())
    }
    assert {one.path for one in TAKEN} == posts
    assert {one.method for one in TAKEN} == {"POST"}


@pytest.mark.parametrize("operation", TAKEN, ids=lambda one: one.path)
def test_sent_again_it_writes_nothing_and_answers_the_same(
    as_ada: Signed, world: World, ada: User, engine: Engine, operation: Operation
) -> None:
    send, headers = sendable(operation, world, ada), key()
    first = send(as_ada, headers)
    assert first.is_success, first.text
    mails = mailed(engine)
    with unchanged(engine):
        assert same(send(as_ada, headers), first)
        assert same(send(as_ada, headers), first)
    assert (count(engine, "idempotency_key"), mailed(engine)) == (1, mails)


@pytest.mark.parametrize("operation", TAKEN, ids=lambda one: one.path)
def test_without_a_key_nothing_is_kept(
    as_ada: Signed, world: World, ada: User, engine: Engine, operation: Operation
) -> None:
    assert sendable(operation, world, ada)(as_ada, {}).is_success
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


def test_where_there_is_nothing_to_do_nothing_is_kept(as_ada: Signed, engine: Engine) -> None:
    """Or whoever has no account could fill the table by revoking what is no token."""
    with unchanged(engine):
        for token in ("x", new_refresh_token().text):
            assert as_ada.post("/revoke_token", json={"token": token}, headers=key()).status_code == 200


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
