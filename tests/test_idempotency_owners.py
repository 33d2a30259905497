"""Whose an Idempotency-Key is, who gets the answer that is kept for it, and for how long it is kept."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from pamps.app import create_app
from pamps.config import Settings
from pamps.db.database import Database
from pamps.models import User
from pamps.queries import idempotency as keys
from pamps.routing import idempotency
from pamps.routing.asked import Asked
from tests.again import NEW, aged, count, key, rotated, same
from tests.api import Api, Signed, problem
from tests.factories import PASSWORD, World
from tests.statements import STATEMENTS
from tests.tables import tables, unchanged
from tests.test_counts import happened
from tests.test_errors import NOBODY_LISTENS
from tests.watched import Watched

pytest_plugins = "tests.again_fixtures"


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


def test_who_was_suspended_meanwhile_gets_no_answer_of_before(
    api: Api, as_ada: Signed, world: World, ada: User, engine: Engine
) -> None:
    headers = key()
    publish = partial(as_ada.post, "/post/", json={"text": "Hello!"}, headers=headers)
    assert publish().status_code == 201
    moderator = api.as_(world.sign_in(world.user("mod", role="moderator"))[0])
    assert moderator.put(f"/user/{ada.username}/suspension/", json={"reason": "spam"}).is_success
    with unchanged(engine):
        assert problem(publish()) == (401, "session-ended")


def test_a_personal_token_that_was_revoked_meanwhile_gets_no_answer_of_before(
    api: Api, as_ada: Signed, engine: Engine
) -> None:
    made = as_ada.post("/user/me/tokens/", json={"name": "a script", "scopes": ["write"]}).json()
    headers = key()
    publish = partial(api.as_(made["token"]).post, "/post/", json={"text": "Hello!"}, headers=headers)
    first = publish()
    assert same(publish(), first)
    assert as_ada.delete(f"/user/me/tokens/{made['id']}/").status_code == 204
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
    assert counting == {"session.credentials": True, "user.proof": True}


def test_a_new_secret_key_is_no_reason_to_write_twice(
    api: Api, as_ada: Signed, settings: Settings, engine: Engine
) -> None:
    headers = key()
    first = as_ada.post("/post/", json={"text": "Hello!"}, headers=headers)
    with Api(create_app(rotated(settings))) as anew, unchanged(engine):
        sent = {**as_ada.headers, **headers}
        assert same(anew.post("/post/", json={"text": "Hello!"}, headers=sent), first)
        answer = anew.post("/post/", json={"text": "Hello?"}, headers=sent)
        assert problem(answer) == (422, "idempotency-key-reused")


# How much, and how long.


def test_the_longest_answer_that_there_can_be_is_kept(as_ada: Signed, settings: Settings, engine: Engine) -> None:
    """Of the longest text that a setting may allow, each character of which is six in JSON."""
    post = settings.post.model_copy(update={"max_length": 100_000})
    headers = {**as_ada.headers, **key()}
    with Api(create_app(settings.model_copy(update={"post": post}))) as wide:
        answers = [wide.post("/post/", json={"text": "\x01" * 100_000}, headers=headers) for _ in range(2)]
    assert same(*answers)
    assert 600_000 < len(answers[0].content) < 1_000_000
    assert count(engine, "post") == 2


def test_a_larger_one_would_not_be(as_ada: Signed, engine: Engine) -> None:
    assert as_ada.post("/post/1/like/", headers=key()).status_code == 201
    with engine.connect() as connection, pytest.raises(IntegrityError, match="idempotency_key_answer_check"):
        connection.execute(text("UPDATE idempotency_key SET answer = repeat('x', 1000001)::bytea"))


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


def test_all_that_is_old_is_thrown_away_at_once_when_the_database_is_there_again(
    settings: Settings, empty: None, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However much it is, and though the time before there was nobody to ask."""
    with engine.begin() as connection:
        old = "INSERT INTO idempotency_key (id, fingerprint, status, headers, answer, created_at)"
        rows = (
            "SELECT n::text::bytea, '', 200, '{}', '', now() - interval '7 hours' FROM generate_series(1, :count) AS n"
        )
        connection.execute(text(f"{old} {rows}"), {"count": 2 * keys.BATCH + 1})
    database = Database(NOBODY_LISTENS, settings.db)
    hours = settings.model_copy(update={"server": settings.server.model_copy(update={"idempotency_hours": 6})})

    async def sweeping() -> None:
        turns = asyncio.Semaphore(0)
        monkeypatch.setattr(idempotency, "asyncio", SimpleNamespace(sleep=lambda _: turns.acquire()))
        task = asyncio.create_task(idempotency.sweep(database, hours))
        turns.release()
        await happened(lambda: bool(caplog.records))
        database.uri = settings.db.uri
        turns.release()
        await happened(lambda: count(engine, "idempotency_key") == 0)
        task.cancel()
        await database.close()

    with caplog.at_level("WARNING", "pamps"):
        asyncio.run(sweeping())


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
