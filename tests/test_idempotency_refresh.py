"""Refreshing, sent again with an Idempotency-Key: the tokens that there were, and the session goes on."""

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Engine

from pamps.models import User
from tests.again import count, key, same
from tests.api import Api, problem
from tests.factories import World
from tests.renewal import ENDED, refresh, sign_in, who
from tests.tables import unchanged
from tests.watched import until

TOGETHER = 8


@pytest.fixture
def ada(world: World) -> User:
    return world.user("ada")


@pytest.fixture
def spent(api: Api, ada: User) -> str:
    """A refresh token that will be."""
    return str(sign_in(api, {}).json()["refresh_token"])


def test_a_refresh_whose_answer_was_lost_may_be_sent_again(api: Api, spent: str, engine: Engine) -> None:
    headers = key()
    first = refresh(api, spent, headers)
    with unchanged(engine):
        again = refresh(api, spent, headers)
    assert same(again, first)
    assert again.headers["cache-control"] == "no-store"
    assert who(api, again) == (200, "ada")
    assert refresh(api, again.json()["refresh_token"], {}).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": '"another"'}])
def test_with_another_key_a_spent_token_ends_its_session(
    api: Api, spent: str, engine: Engine, headers: dict[str, str]
) -> None:
    """That stands, though it is a refusal and with a key."""
    mine = key()
    new = refresh(api, spent, mine)
    assert problem(refresh(api, spent, headers)) == ENDED
    assert count(engine, "session") == 0
    assert who(api, refresh(api, spent, mine)) == who(api, new) == ENDED


def test_many_refreshes_at_once_with_one_key_leave_the_session(api: Api, spent: str, engine: Engine) -> None:
    headers = key()
    with ThreadPoolExecutor(TOGETHER) as threads:
        answers = list(threads.map(lambda _: refresh(api, spent, headers), range(TOGETHER)))
    done = [one for one in answers if one.status_code == 200]
    assert {problem(one) for one in answers if one not in done} <= {(409, "idempotency-key-in-use")}
    assert {one.content for one in done} == {refresh(api, spent, headers).content}
    assert who(api, done[0]) == (200, "ada")


@pytest.mark.parametrize("seed", range(2))
def test_who_loses_answers_and_sends_again_until_there_is_one_stays_signed_in(
    api: Api, spent: str, engine: Engine, seed: int
) -> None:
    """Impatiently, too: while the request of before is still being answered."""
    chance, token, tokens = random.Random(seed), spent, {spent}
    with ThreadPoolExecutor(TOGETHER) as threads:
        for _ in range(30):
            headers = key()
            send = partial(refresh, api, token, headers)
            lost = [threads.submit(send) for _ in range(chance.randrange(4))]
            until(lambda send=send: send().status_code == 200)  # type: ignore[misc]
            assert {one.result().status_code for one in lost} <= {200, 409}
            token = send().json()["refresh_token"]
            tokens.add(token)
    assert len(tokens) == 31
    assert (count(engine, "session"), count(engine, "idempotency_key")) == (1, 30)


def test_tokens_that_were_renewed_since_are_given_again_as_they_were(api: Api, spent: str, engine: Engine) -> None:
    """A refresh token that was spent meanwhile is spent, wherever it was found."""
    headers = key()
    second = refresh(api, spent, headers).json()["refresh_token"]
    assert refresh(api, second, key()).status_code == 200
    again = refresh(api, spent, headers).json()["refresh_token"]
    assert again == second
    assert problem(refresh(api, again, key())) == ENDED
    assert count(engine, "session") == 0
