"""Attacks on refresh tokens."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from pamps.tokens import RefreshToken, new_refresh_token
from tests.api import Api, problem
from tests.factories import World
from tests.forge import BASE64URL
from tests.tables import tables, unchanged


@pytest.fixture
def token(world: World) -> RefreshToken:
    return world.sign_in(world.user("ada"))[1]


BENT: dict[str, Callable[[str], str]] = {
    "empty": lambda token: "",
    "short": lambda token: token[:-1],
    "long": lambda token: token + "A",
    "padded": lambda token: token + "=",
    "with a stranger": lambda token: token + "!",
    "with a space": lambda token: f" {token}",
    "in other last bits": lambda token: token[:-1] + BASE64URL[BASE64URL.index(token[-1]) ^ 1],
    "with a NUL": lambda token: token + "\0",
    "not of ASCII": lambda token: "é" + token[1:],
}


def test_a_garbled_refresh_token_is_refused_and_ends_nothing(api: Api, token: RefreshToken, engine: Engine) -> None:
    with unchanged(engine):
        for how, bent in BENT.items():
            response = api.post("/refresh_token", json={"refresh_token": bent(token.text)})
            assert problem(response) == (401, "invalid-token"), how


def test_a_made_up_refresh_token_is_of_no_session(api: Api, token: RefreshToken, engine: Engine) -> None:
    with unchanged(engine):
        response = api.post("/refresh_token", json={"refresh_token": new_refresh_token().text})
        assert problem(response) == (401, "session-ended")


def test_a_guess_at_the_second_half_ends_the_session(
    api: Api, token: RefreshToken, world: World, engine: Engine
) -> None:
    # Whoever knows the first half has had a token of this session: it is as good as spent.
    world.sign_in(world.user("bob"))
    response = api.post("/refresh_token", json={"refresh_token": new_refresh_token(token.text).text})
    assert problem(response) == (401, "session-ended")
    assert len(tables(engine)["session"]) == 1


def test_a_refresh_token_is_random_anew_each_time_but_for_its_first_half() -> None:
    first, other = new_refresh_token(), new_refresh_token()
    second = new_refresh_token(first.text)
    assert len(first.text) == 86
    assert first.family_hash == second.family_hash != other.family_hash
    assert len({first.token_hash, second.token_hash, other.token_hash}) == 3
