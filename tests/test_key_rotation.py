"""Keys come and go: what an old one has signed still holds; what names none of ours, or another, does not."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pamps.app import create_app
from pamps.config import Settings
from pamps.errors import InvalidToken
from pamps.models import User
from pamps.tokens import Claim, kid, read_access_token, sign_access_token
from tests.api import Api, problem
from tests.conftest import SECRET
from tests.factories import PASSWORD, World
from tests.forge import claims, hmac_signed, segment, signed, unsigned

OLD, OLDER, STRANGE = (f"{name}-{SECRET}" for name in ("old", "older", "strange"))


@pytest.fixture(scope="module")
def rotated(settings: Settings) -> Settings:
    """After two rotations."""
    keys = settings.security.model_copy(update={"old_secret_keys": (OLD, OLDER)})
    return settings.model_copy(update={"security": keys})


@pytest.fixture(scope="module")
def service(rotated: Settings) -> Iterator[Api]:
    with Api(create_app(rotated)) as api:
        yield api


@pytest.fixture
def ada(world: World) -> User:
    user = world.user("ada")
    world.sign_in(user)
    return user


def header_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    return found


def me(service: Api, token: str) -> tuple[int, str]:
    """The status, and a name or a code."""
    response = service.as_(token).get("/user/me/")
    return response.status_code, response.json().get("username") or response.json()["code"]


REFUSED = (401, "invalid-token")


def test_a_new_token_names_the_current_key_that_signs_it(service: Api, ada: User) -> None:
    answer = service.post("/token", data={"username": "ada", "password": PASSWORD}).json()
    assert header_of(answer["access_token"]) == {"alg": "HS256", "typ": "JWT", "kid": kid(SECRET)}
    assert me(service, answer["access_token"]) == (200, "ada")
    renewed = service.post("/refresh_token", json={"refresh_token": answer["refresh_token"]}).json()
    assert header_of(renewed["access_token"])["kid"] == kid(SECRET)


def test_what_an_old_key_has_signed_still_holds(service: Api, ada: User) -> None:
    for key in (OLD, OLDER):
        assert me(service, signed(key=key, kid=kid(key))) == (200, "ada")


def test_a_token_without_a_name_holds_if_any_key_has_signed_it(service: Api, ada: User) -> None:
    assert [me(service, signed(key=key)) for key in (SECRET, OLD, OLDER)] == [(200, "ada")] * 3
    assert me(service, signed(key=STRANGE)) == REFUSED


def test_a_key_that_was_taken_out_signs_nothing_any_more(settings: Settings, rotated: Settings) -> None:
    token = signed(key=OLD, kid=kid(OLD))
    assert read_access_token(token, rotated.security) == Claim(1, 1)
    with pytest.raises(InvalidToken):
        read_access_token(token, settings.security)


def test_a_token_from_before_a_rotation_holds_after_it(settings: Settings, rotated: Settings) -> None:
    before = settings.security.model_copy(update={"secret_key": OLD})
    token = sign_access_token(1, 1, 2_000_000_000, before)
    assert read_access_token(token, rotated.security) == Claim(1, 1)


def test_a_name_that_is_nobodys_is_refused_though_the_signature_is_right(service: Api, ada: User) -> None:
    strange: list[Any] = ["", "nothing", kid(STRANGE), kid(SECRET).upper(), kid(SECRET) + "=", "../../dev/null", SECRET]
    strange += [None, 0, 1, True, [], [kid(SECRET)], {}, {kid(SECRET): 1}, "x" * 5000, "\0", "' OR 1 --", "é"]
    for name in strange:
        header = json.dumps({"alg": "HS256", "typ": "JWT", "kid": name}).encode()
        assert me(service, hmac_signed(header, json.dumps(claims()).encode())) == REFUSED, name


def test_the_name_of_one_key_and_the_signature_of_another_are_refused(service: Api, ada: User) -> None:
    for named in (SECRET, OLD, OLDER):
        for key in {SECRET, OLD, OLDER, STRANGE} - {named}:
            assert me(service, signed(key=key, kid=kid(named))) == REFUSED, (named, key)


def test_a_name_makes_no_unsigned_token_good(service: Api, ada: User) -> None:
    good = signed(key=OLD, kid=kid(OLD)).rsplit(".", 1)[1]
    for alg in ("none", "None", "NONE", "", None, "HS384", "RS256"):
        for name in (kid(SECRET), kid(OLD), ""):
            for signature in ("", good, segment(b"\0" * 32)):
                token = unsigned({"alg": alg, "typ": "JWT", "kid": name}, signature=signature)
                assert me(service, token) == REFUSED, (alg, name)


def test_the_last_of_two_names_is_no_way_around(service: Api, ada: User) -> None:
    both = f'{{"alg":"HS256","kid":"{kid(SECRET)}","kid":"nothing"}}'.encode()
    assert me(service, hmac_signed(both, json.dumps(claims()).encode())) == REFUSED


def test_a_session_can_be_ended_by_a_token_of_an_old_key(service: Api, ada: User) -> None:
    token = signed(key=OLDER, kid=kid(OLDER))
    assert service.post("/revoke_token", data={"token": token}).status_code == 200
    assert problem(service.as_(token).get("/user/me/")) == (401, "session-ended")


def test_a_name_tells_nothing_of_its_key() -> None:
    names = {kid(key) for key in (SECRET, OLD, OLDER, STRANGE)}
    assert len(names) == 4
    assert {len(name) for name in names} == {12}
    assert kid(SECRET) == kid(SECRET)
