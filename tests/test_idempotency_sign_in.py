"""Signing in, sent again with an Idempotency-Key: one session, and the tokens that it had."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from pamps.models import User
from tests.again import count, key, mailed, rotated, same
from tests.api import Api, Signed, problem
from tests.factories import PASSWORD, World, recovery_code
from tests.guessing import FAR, HOME, at, failures, later, wait
from tests.renewal import ENDED, refresh, sign_in, who
from tests.second_factor import Clock, code
from tests.tables import unchanged
from tests.watched import Watched

pytest_plugins = ("tests.again_fixtures", "tests.second_factor_fixtures", "tests.watched_fixtures")

TOGETHER = 5  # guesses that nobody has to wait for
REUSED = (422, "idempotency-key-reused")
NEEDED, WRONG = (401, "code-needed"), (401, "wrong-code")


@pytest.fixture
def ada(world: World) -> User:
    return world.user("ada")


@pytest.fixture
def alone(settings: Settings) -> Iterator[Api]:
    """The service with one connection to the database."""
    db = settings.db.model_copy(update={"pool_min_size": 1, "pool_size": 1, "wait_timeout": 5})
    with Api(create_app(settings.model_copy(update={"db": db}))) as api:
        yield api


# One session.


def test_a_sign_in_that_is_sent_again_is_one_session_whose_tokens_work(api: Api, ada: User, engine: Engine) -> None:
    headers = key()
    first, second = sign_in(api, headers), sign_in(api, headers)
    assert same(second, first)
    assert second.headers["cache-control"] == "no-store"
    assert count(engine, "session") == 1
    assert who(api, second) == (200, "ada")
    assert refresh(api, second.json()["refresh_token"], {}).status_code == 200


def test_two_sign_ins_with_two_keys_are_two_sessions(api: Api, ada: User, engine: Engine) -> None:
    first, second = sign_in(api, key()), sign_in(api, key())
    assert not {*first.json().values()} & {*second.json().values()} - {"bearer", 1800}
    assert count(engine, "session") == 2


def test_whoever_has_signed_out_gets_tokens_of_a_session_that_is_over(api: Api, ada: User, engine: Engine) -> None:
    headers = key()
    first = sign_in(api, headers).json()
    assert api.post("/revoke_token", json={"token": first["access_token"]}).status_code == 200
    again = sign_in(api, headers)
    assert again.json() == first
    assert who(api, again) == problem(refresh(api, first["refresh_token"], {})) == ENDED
    assert count(engine, "session") == 0


def test_who_may_no_longer_sign_in_so_gets_no_tokens_of_before(
    api: Api, ada: User, world: World, engine: Engine
) -> None:
    headers, change = key(), {"current_password": PASSWORD, "new_password": "a better password"}
    assert sign_in(api, headers).status_code == 200
    moderator = api.as_(world.sign_in(world.user("mod", role="moderator"))[0])
    assert moderator.put("/user/ada/suspension/", json={"reason": "spam"}).is_success
    assert problem(sign_in(api, headers)) == (403, "account-suspended")
    assert moderator.delete("/user/ada/suspension/").is_success
    assert who(api, sign_in(api, headers)) == ENDED
    assert api.as_(sign_in(api, {}).json()["access_token"]).put("/user/me/password/", json=change).is_success
    assert problem(sign_in(api, headers)) == (401, "wrong-credentials")


def test_from_a_new_network_one_mail_tells_of_it(api: Api, ada: User, engine: Engine) -> None:
    assert sign_in(at(api, HOME), {}).status_code == 200
    before, headers = mailed(engine), key()
    for _ in range(2):
        assert sign_in(at(api, FAR), headers).status_code == 200
        assert mailed(engine) == before + 1


def test_of_many_at_once_with_one_key_one_starts_a_session(
    api: Api, ada: User, engine: Engine, watched: Watched
) -> None:
    headers = key()
    with ThreadPoolExecutor(TOGETHER) as threads:
        with watched.held_up():
            sent = [threads.submit(sign_in, api, headers) for _ in range(TOGETHER)]
            watched.wait_for(api.application.state.passwords.limiter.total_tokens)
        answers = [one.result() for one in sent]
    done = [one for one in answers if one.status_code == 200]
    assert {problem(one) for one in answers if one not in done} <= {(409, "idempotency-key-in-use")}
    assert {one.content for one in done} == {sign_in(api, headers).content}
    assert count(engine, "session") == 1
    assert failures(engine, "login", "ada") in (None, 0)


def test_a_new_secret_key_is_no_reason_to_start_another(
    api: Api, ada: User, engine: Engine, settings: Settings
) -> None:
    headers = key()
    first = sign_in(api, headers)
    with Api(create_app(rotated(settings))) as anew:
        again = sign_in(anew, headers)
        assert same(again, first)
        assert who(anew, again) == (200, "ada")
    assert count(engine, "session") == 1


# Begun anew.


def test_a_sign_in_that_begins_anew_does_so_with_a_key_and_waits_for_no_second_connection(
    alone: Api, world: World, ada: User, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the password is looked at, its hash is replaced."""
    passwords, headers = alone.application.state.passwords, key()
    watched = Watched(passwords.context)
    monkeypatch.setattr(passwords, "context", watched)
    with ThreadPoolExecutor(1) as thread:
        with watched.held_up():
            first = thread.submit(sign_in, alone, headers)
            watched.wait_for(1)
            with engine.begin() as connection:
                connection.execute(
                    text('UPDATE "user" SET password_hash = :new'), {"new": world.passwords.context.hash(PASSWORD)}
                )
        assert first.result().status_code == 200
    assert watched.done == ["verify", "verify"]
    assert same(sign_in(alone, headers), first.result())
    assert count(engine, "session") == 1


def test_with_one_connection_for_all_a_code_that_is_missing_is_asked_for(
    alone: Api, world: World, ada: User, engine: Engine
) -> None:
    world.second_factor(ada)
    assert problem(sign_in(alone, key())) == NEEDED
    assert failures(engine, "login", "ada") == 0


# Codes.


def test_a_code_that_is_sent_again_gets_the_same_tokens_however_late(
    api: Api, clock: Clock, secret: str, engine: Engine
) -> None:
    headers, sent = key(), code(secret)
    first = sign_in(api, headers, code=sent)
    assert first.status_code == 200
    with unchanged(engine):
        assert same(sign_in(api, headers, code=sent), first)
        for other in ({}, key()):
            assert problem(sign_in(api, other, code=sent)) == WRONG
        clock.now += 3600
        assert same(sign_in(api, headers, code=sent), first)
    assert who(api, first) == (200, "ada")


def test_a_recovery_code_that_is_sent_again_is_used_up_once(api: Api, as_ada: Signed, secret: str) -> None:
    headers = key()
    first = sign_in(api, headers, code=recovery_code(0))
    assert same(sign_in(api, headers, code=recovery_code(0)), first)
    assert problem(sign_in(api, {}, code=recovery_code(0))) == WRONG
    assert as_ada.get("/user/me/two-factor/").json()["recovery_codes_left"] == 9


def test_a_code_that_was_missing_may_follow_with_the_same_key(api: Api, secret: str, engine: Engine) -> None:
    headers = key()
    with unchanged(engine):
        assert [problem(sign_in(api, headers)) for _ in range(10)] == [NEEDED] * 10
        assert problem(sign_in(api, headers, code="000000")) == WRONG
    assert sign_in(api, headers, code=code(secret)).status_code == 200


def test_what_was_asked_for_since_is_not_asked_for_again(api: Api, world: World, ada: User) -> None:
    headers = key()
    first = sign_in(api, headers)
    world.second_factor(ada)
    assert same(sign_in(api, headers), first)
    assert problem(sign_in(api, {})) == NEEDED


# Guesses.


def test_a_wrong_password_with_a_known_key_is_a_wrong_password_and_counts(api: Api, ada: User, engine: Engine) -> None:
    headers = key()
    first = sign_in(api, headers)
    assert first.status_code == 200
    with unchanged(engine):
        answers = [sign_in(api, headers, f"wrong {n}") for n in range(5)]
        assert [problem(one) for one in answers] == [(401, "wrong-credentials")] * 5
        assert wait(sign_in(api, headers)) == 100
        later(engine, 100)
        assert same(sign_in(api, headers), first)


def test_another_body_with_the_key_is_refused_and_learns_nothing_of_a_code(
    api: Api, secret: str, engine: Engine
) -> None:
    headers = key()
    assert sign_in(at(api, FAR), headers, code=code(secret)).status_code == 200
    with unchanged(engine):
        for other in ("000000", code(secret, 30), recovery_code(0)):
            assert problem(sign_in(at(api, HOME), headers, code=other)) == REUSED
    assert failures(engine, "login", "ada") == failures(engine, "address", HOME) == 0


def test_to_send_it_again_is_no_guess_and_forgives_none(api: Api, secret: str, engine: Engine) -> None:
    """Or whoever had a code once would forgive themselves guesses at the next for a day."""
    headers, sent = key(), code(secret)
    assert sign_in(at(api, FAR), headers, code=sent).status_code == 200
    guesser = at(api, HOME)
    assert [problem(sign_in(guesser, {}, code=f"00000{n}")) for n in range(3)] == [WRONG] * 3
    assert [sign_in(guesser, headers, code=sent).status_code for _ in range(10)] == [200] * 10
    assert failures(engine, "login", "ada") == failures(engine, "address", HOME) == 3
