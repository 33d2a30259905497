"""Answers that show a secret once, to requests that are sent again with their Idempotency-Key."""

import json
import re

import pytest
from httpx2 import Response
from nacl.exceptions import CryptoError
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from pamps.models import User
from pamps.routing.asked import Asked
from tests.again import TAKEN, TWO_FACTOR, aged, key, rotated, same, sendable
from tests.api import Api, Signed, problem
from tests.document import DOCUMENT, Operation
from tests.factories import World
from tests.tables import unchanged

pytest_plugins = "tests.again_fixtures"


# What each route shows once.
SECRETS = {
    "/token": ["access_token", "refresh_token"],
    "/refresh_token": ["access_token", "refresh_token"],
    "/user/me/tokens/": ["token"],
    TWO_FACTOR: ["secret", "uri"],
    f"{TWO_FACTOR}confirm/": ["recovery_codes"],
    f"{TWO_FACTOR}recovery-codes/": ["recovery_codes"],
}
LIKE_SECRETS = re.compile("token(?!_type)|secret|password|code|uri")
PART = 8  # characters in a row that nobody should find


def make_token(who: Signed, headers: dict[str, str]) -> Response:
    return who.post("/user/me/tokens/", json={"name": "a script", "scopes": ["write"]}, headers=headers)


def test_a_personal_token_that_was_made_is_shown_again_and_works(api: Api, as_ada: Signed, engine: Engine) -> None:
    headers = key()
    first = make_token(as_ada, headers)
    assert first.status_code == 201
    with unchanged(engine):
        assert same(make_token(as_ada, headers), first)
    assert api.as_(first.json()["token"]).post("/post/1/like/").status_code == 201


def test_two_that_are_made_with_one_key_after_another_are_different(as_ada: Signed, engine: Engine) -> None:
    """The key is free again after a day, and a token that has been ended meanwhile stays ended."""
    headers = key()
    first = make_token(as_ada, headers).json()
    assert as_ada.delete(f"/user/me/tokens/{first['id']}/").status_code == 204
    aged(engine, 25)
    second = make_token(as_ada, headers).json()
    assert second["token"].rpartition("_")[2] != first["token"].rpartition("_")[2]


def parts(shown: bytes) -> set[bytes]:
    """Every part of an answer, or of a secret in it, that would tell something."""
    return {shown[start : start + PART] for start in range(len(shown) - PART + 1)}


def test_every_secret_that_an_answer_shows_is_named_here() -> None:
    found = {}
    for operation in TAKEN:
        shown = json.dumps([operation.described["responses"].get(status) for status in ("200", "201", "202")])
        for shape in re.findall(r"#/components/schemas/(\w+)", shown):
            found[operation.path] = list(
                filter(LIKE_SECRETS.search, DOCUMENT["components"]["schemas"][shape]["properties"])
            )
    assert {path: names for path, names in found.items() if names} == SECRETS


@pytest.mark.parametrize("operation", TAKEN, ids=lambda one: one.path)
def test_of_no_answer_that_is_kept_can_anything_be_read(
    as_ada: Signed, world: World, ada: User, engine: Engine, operation: Operation
) -> None:
    response = sendable(operation, world, ada)(as_ada, key())
    assert response.is_success
    with engine.connect() as connection:
        (row,) = connection.scalars(text("SELECT idempotency_key::text FROM idempotency_key"))
    assert not [part for part in parts(response.content) if part.hex() in row]
    for name in SECRETS.get(operation.path, ()):
        secret = json.dumps(response.json()[name]).encode()
        assert not [part for part in parts(secret) if part.decode() in row]


def test_whoever_reads_what_is_kept_and_has_the_secret_key_lacks_the_clients(
    as_ada: Signed, engine: Engine, settings: Settings
) -> None:
    shown = make_token(as_ada, key('"the key"'))
    with engine.connect() as connection:
        kept = bytes(connection.execute(text("SELECT answer FROM idempotency_key")).scalar_one())

    def opened(guessed: bytes) -> bytes:
        asked = Asked(guessed, b"\0".join((guessed, b"/user/me/tokens", b"", shown.request.content)))
        return asked.unsealed(kept, settings.security.secret_key)

    assert opened(b"the key") == shown.content
    with pytest.raises(CryptoError):
        opened(b"a key")


def test_it_is_shown_to_nobody_but_whoever_signs_in_as_its_owner(
    api: Api, as_ada: Signed, world: World, engine: Engine
) -> None:
    headers = key()
    first = make_token(as_ada, headers).json()
    with unchanged(engine):
        assert problem(make_token(api.as_(first["token"]), headers)) == (403, "sign-in-needed")
        assert problem(api.post("/user/me/tokens/", headers=headers)) == (401, "not-signed-in")
    as_eve = api.as_(world.sign_in(world.user("eve"))[0])
    assert make_token(as_eve, headers).json()["token"] != first["token"]


def test_with_a_new_secret_key_it_is_still_shown(as_ada: Signed, settings: Settings, engine: Engine) -> None:
    headers = key()
    first = make_token(as_ada, headers)
    with Api(create_app(rotated(settings))) as anew, unchanged(engine):
        assert same(make_token(anew.as_(as_ada.headers["Authorization"].split()[1]), headers), first)
