"""What is asked for by mail, and the links of mails, sent again with an Idempotency-Key."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from httpx2 import Response
from sqlalchemy import Engine

from pamps.models import User
from pamps.models.mail import PASSWORD_RESET, VERIFICATION
from pamps.queries import mail as mails
from pamps.tokens import link_hash
from tests.again import count, key, mailed, same
from tests.api import Api, Signed, problem
from tests.factories import PASSWORD, World
from tests.tables import tables, unchanged
from tests.watched import Watched

pytest_plugins = ("tests.again_fixtures", "tests.second_factor_fixtures", "tests.watched_fixtures")

NEW = "a better password"
INVALID, REUSED = (403, "link-invalid"), (422, "idempotency-key-reused")


def reset(api: Api, link: str, headers: dict[str, str], password: str = NEW) -> Response:
    return api.post("/password_reset/confirm", json={"token": link, "new_password": password}, headers=headers)


def test_a_mail_that_is_asked_for_again_is_sent_once(as_ada: Signed, ada: User, engine: Engine) -> None:
    for path, body in (("/user/me/email/verification/", None), ("/password_reset", {"email": ada.email})):
        headers, before = key(), mailed(engine)
        first = as_ada.post(path, json=body, headers=headers)
        made = mailed(engine) - before
        assert made > 0
        assert same(as_ada.post(path, json=body, headers=headers), first)
        assert mailed(engine) == before + made


def test_with_a_key_too_a_reset_does_not_tell_whether_there_is_such_an_email(
    api: Api, ada: User, engine: Engine
) -> None:
    headers = [key(), key()]
    bodies = [{"email": ada.email}, {"email": "nobody@example.com"}]
    for _ in range(2):
        there, not_there = (
            api.post("/password_reset", json=body, headers=one) for body, one in zip(bodies, headers, strict=True)
        )
        assert there.status_code == 202
        assert same(there, not_there)
    crossed = [
        problem(api.post("/password_reset", json=body, headers=one))
        for body, one in zip(bodies, reversed(headers), strict=True)
    ]
    assert crossed == [REUSED] * 2
    assert count(engine, "idempotency_key") == 2
    mailed(engine)


def test_an_email_is_verified_again_with_the_key_that_spent_the_link(
    api: Api, world: World, ada: User, engine: Engine
) -> None:
    link, headers = {"token": world.link(ada, VERIFICATION)}, key()
    first = api.post("/email_verification", json=link, headers=headers)
    assert first.status_code == 204
    with unchanged(engine):
        assert same(api.post("/email_verification", json=link, headers=headers), first)
        for other in ({}, key()):
            assert problem(api.post("/email_verification", json=link, headers=other)) == INVALID


def test_a_password_that_is_reset_again_ends_no_session_that_was_started_since(
    api: Api, world: World, ada: User, engine: Engine
) -> None:
    link, headers = world.link(ada, PASSWORD_RESET), key()
    first = reset(api, link, headers)
    assert first.status_code == 204
    assert api.post("/token", data={"username": "ada", "password": NEW}).status_code == 200
    mailed(engine)
    with unchanged(engine):
        assert same(reset(api, link, headers), first)
        assert problem(reset(api, link, headers, "another one")) == REUSED
        for other in ({}, key()):
            assert problem(reset(api, link, other)) == INVALID


def test_a_new_password_that_is_refused_spends_neither_the_link_nor_the_key(
    api: Api, world: World, ada: User, engine: Engine
) -> None:
    link, headers = world.link(ada, PASSWORD_RESET), key()
    with unchanged(engine):
        assert problem(reset(api, link, headers, str(ada.email))) == (422, "invalid-request")
    assert reset(api, link, headers).status_code == 204


def test_no_connection_waits_while_the_new_password_is_hashed(
    api: Api, world: World, ada: User, watched: Watched
) -> None:
    link, pool = world.link(ada, PASSWORD_RESET), api.application.state.database.pool
    with ThreadPoolExecutor(1) as thread:
        with watched.held_up():
            answer = thread.submit(reset, api, link, key())
            watched.wait_for(1)
            assert len(pool.idle) == pool.size
        assert answer.result().status_code == 204


def test_a_link_that_was_no_good_at_first_sight_and_is_then_is_not_spent_for_nothing(
    api: Api, world: World, ada: User, engine: Engine
) -> None:
    """No password has been hashed for it: its owner's email may have been another one at that moment."""
    link = world.link(ada, PASSWORD_RESET)
    params = {"token_hash": link_hash(link), "password_hash": None, "language": None, "network": None}
    assert api.portal
    with unchanged(engine):
        database = api.application.state.database
        assert api.portal.call(partial(database.row, mails.reset_password, **params)) is None
    assert reset(api, link, {}).status_code == 204


@pytest.mark.parametrize("headers", [{}, key()])
def test_for_a_link_that_is_no_good_nothing_is_hashed_and_nothing_changes(
    api: Api, world: World, ada: User, watched: Watched, engine: Engine, headers: dict[str, str]
) -> None:
    world.link(ada, PASSWORD_RESET)
    with unchanged(engine):
        assert problem(reset(api, "x" * 43, headers)) == INVALID
    assert watched.done == []
    assert api.post("/token", data={"username": "ada", "password": PASSWORD}).status_code == 200
    assert len(tables(engine)["session"]) == 1
