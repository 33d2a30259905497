"""Answers that show a secret once, to requests that are sent again with their Idempotency-Key: of a personal token."""

from httpx2 import Response
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from pamps.routing.idempotency import SEED, Asked
from tests.again import aged, key, rotated, same
from tests.api import Api, Signed, problem
from tests.factories import World
from tests.tables import unchanged

pytest_plugins = "tests.again_fixtures"


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


def test_whoever_reads_what_is_kept_has_no_token_by_it(as_ada: Signed, engine: Engine, settings: Settings) -> None:
    """What is kept in a token's place makes it with our secret and the client's key, and not without that."""
    token = make_token(as_ada, key('"the key"')).json()["token"].rpartition("w_")[2]
    with engine.connect() as connection:
        answer, row = connection.execute(text("SELECT answer, idempotency_key::text FROM idempotency_key")).one()
    assert token not in row + repr(bytes(answer))
    assert token.encode().hex() not in row
    (seed,) = SEED.findall(answer)

    def made(guessed: bytes) -> str:
        body = b'{"name":"a script","scopes":["write"]}'
        asked = Asked(guessed, b"\0".join((guessed, b"/user/me/tokens", b"", body)))
        return asked.shown(seed, settings.security.secret_key).decode()

    assert made(b"the key") == token
    assert made(b"a key") != token


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
