"""Passwords that are guessed first are refused wherever one is chosen, with the reason."""

import pytest
from httpx2 import Response
from sqlalchemy import Engine

from pamps import weakness
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.tables import unchanged

COMMON = "Should not be one of the 10,000 most common passwords"
NAME = "Should not be the username or the email, or what is before its @"
REFUSED = {
    "password1": COMMON,
    "PassWord1": COMMON,
    "12345678": COMMON,
    "football1": COMMON,
    "lovelace": NAME,
    "LoveLace": NAME,
    "ada.king@example.com": NAME,
    "Ada.King": NAME,
}
FIT = ("lovelace1", "ada.king@example.org", "Ada King", "example.com", PASSWORD)
every = pytest.mark.parametrize("password", REFUSED)


def register(api: Api, password: str) -> Response:
    return api.post("/user/", json={"email": "ada.king@example.com", "username": "lovelace", "password": password})


@every
def test_nobody_registers_with_one(api: Api, engine: Engine, password: str) -> None:
    with unchanged(engine):
        response = register(api, password)
    assert problem(response) == (422, "invalid-request")
    assert [(one["loc"], one["msg"]) for one in response.json()["errors"]] == [
        (["body", "password"], REFUSED[password])
    ]


@every
def test_nobody_changes_to_one(api: Api, world: World, engine: Engine, password: str) -> None:
    ada = world.user("Lovelace", email="Ada.King@example.com")
    as_ada = api.as_(world.sign_in(ada)[0])
    with unchanged(engine):
        body = {"current_password": PASSWORD, "new_password": password}
        response = as_ada.put("/user/me/password/", json=body)
    assert problem(response) == (422, "invalid-request")
    assert response.json()["detail"] == f"body.new_password: {REFUSED[password]}"


@pytest.mark.parametrize("password", FIT)
def test_all_else_will_do(api: Api, password: str) -> None:
    assert register(api, password).status_code == 201
    signed = api.post("/token", data={"username": "lovelace", "password": password})
    assert signed.status_code == 200


def test_an_old_password_goes_on_being_good(api: Api, world: World) -> None:
    world.user("ada", password="password1")
    assert api.post("/token", data={"username": "ada", "password": "password1"}).status_code == 200


def test_the_worst_are_the_head_of_zxcvbns_list_of_those_that_are_long_enough() -> None:
    assert len(weakness.worst()) == 3395
    assert {"password", "12345678", "baseball", "trustno1", "iloveyou"} < weakness.worst()
    assert all(len(word) >= 8 and word == word.lower() for word in weakness.worst())
