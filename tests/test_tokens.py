"""Attacks on tokens: whatever is not just as we signed it is 401, on every kind of route, and writes nothing."""

import base64
import json
import math
import time
from itertools import product
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import Engine

from pamps.models import User
from tests.api import Api, problem
from tests.conftest import SECRET
from tests.factories import PASSWORD, World
from tests.forge import BASE64URL, claims, garbled, hmac_signed, segment, signed, unsigned
from tests.tables import unchanged

ROUTES = [("GET", "/user/me/"), ("GET", "/post/"), ("POST", "/post/")]  # of the signed in, open, one that writes


@pytest.fixture
def ada(world: World) -> User:
    user = world.user("ada")
    world.sign_in(user)
    world.post(by=user)
    return user


def assert_refused(api: Api, engine: Engine, *tokens: str | bytes, code: str = "invalid-token") -> None:
    with unchanged(engine):
        for token, (method, path) in product(tokens, ROUTES):
            value = b"Bearer " + (token.encode() if isinstance(token, str) else token)
            response = api.request(method, path, json={"text": "x"}, headers=[(b"Authorization", value)])
            assert problem(response) == (401, code), (token, path)
            assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def ours(payload: bytes) -> str:
    """A token with any content, signed as ours are."""
    return hmac_signed(b'{"alg":"HS256"}', payload)


def test_the_tokens_that_these_tests_bend_are_good_when_straight(api: Api, ada: User) -> None:
    assert api.as_(signed()).get("/user/me/").status_code == 200
    assert api.as_(ours(json.dumps(claims()).encode())).get("/user/me/").status_code == 200


def test_an_expired_token_says_so(api: Api, ada: User, engine: Engine) -> None:
    just_now, long_ago = (signed(claims(exp=moment)) for moment in (int(time.time()) - 1, 0))
    assert_refused(api, engine, just_now, long_ago, code="token-expired")


def test_a_forged_token_that_has_expired_does_not_say_so(api: Api, ada: User, engine: Engine) -> None:
    assert_refused(api, engine, signed(claims(exp=0), key="x" * 40))


def test_a_token_signed_with_another_key_is_refused(api: Api, ada: User, engine: Engine) -> None:
    keys = ("x" * 40, SECRET + " ", SECRET[:-1], SECRET.upper(), "", "null")
    content = json.dumps(claims()).encode()
    assert_refused(api, engine, *(hmac_signed(b'{"alg":"HS256","typ":"JWT"}', content, key) for key in keys))


def test_an_unsigned_token_is_refused(api: Api, ada: User, engine: Engine) -> None:
    good = signed().rsplit(".", 1)[1]
    for alg in ("none", "None", "NONE", "nOnE", "", None, 0, [], ["HS256"], {"HS256": 1}):
        signatures = ("", good, segment(b"\0" * 32))
        header = {"alg": alg, "typ": "JWT"}
        assert_refused(api, engine, *(unsigned(header, signature=signature) for signature in signatures))
    assert_refused(api, engine, unsigned({"typ": "JWT"}))


def test_a_token_of_another_algorithm_is_refused_though_the_key_is_right(api: Api, ada: User, engine: Engine) -> None:
    assert_refused(api, engine, signed(algorithm="HS384"), signed(algorithm="HS512"))


def test_a_token_signed_by_a_key_pair_is_refused(api: Api, ada: User, engine: Engine) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert_refused(api, engine, signed(key=private, algorithm="RS256"))
    # A key that the token itself brings along or points at is nobody's.
    jwk = {"kty": "oct", "k": segment(b"x" * 40)}
    assert_refused(api, engine, signed(key="x" * 40, jwk=jwk, jku="https://evil.example/keys", kid="../../dev/null"))
    assert_refused(api, engine, signed(key=base64.b64encode(public).decode()))


UNFIT: list[dict[str, Any]] = [
    {"kind": "refresh"},
    {"kind": "Access"},
    {"kind": None},
    {"kind": ...},
    {"sub": ...},
    {"sub": "ada"},
    {"sub": ""},
    {"sub": 1},
    {"sub": None},
    {"sub": "1.5"},
    {"sub": "-1"},
    {"sub": "0"},
    {"sub": "1" * 5000},
    {"sub": str(2**63)},
    {"sid": ...},
    {"sid": None},
    {"sid": "one"},
    {"sid": []},
    {"sid": -1},
    {"sid": 2**63},
    {"sid": math.inf},
    {"sid": math.nan},
    {"iss": ...},
    {"iss": "another"},
    {"iss": ""},
    {"iss": None},
    {"iss": ["pamps"]},
    {"exp": ...},
    {"exp": None},
    {"exp": "soon"},
    {"exp": math.inf},
    {"exp": math.nan},
    {"iat": ...},
    {"iat": "long ago"},
    {"iat": math.inf},
    {"nbf": int(time.time()) + 3600},
]


def test_a_token_with_unfit_claims_is_refused_though_the_signature_is_right(
    api: Api, ada: User, engine: Engine
) -> None:
    assert_refused(api, engine, *(ours(json.dumps(claims(**change)).encode()) for change in UNFIT))


def test_a_token_whose_content_is_no_object_is_refused(api: Api, ada: User, engine: Engine) -> None:
    for content in (b"", b"null", b"[]", b'"text"', b"1", b"{", b"\xff", b"[" * 20_000):
        as_header = f"{segment(content)}.{segment(claims())}.{segment(b'x' * 32)}"
        assert_refused(api, engine, ours(content), as_header)


def test_a_token_of_a_session_that_is_not_that_users_is_refused(
    api: Api, ada: User, world: World, engine: Engine
) -> None:
    world.sign_in(world.user("bob"))
    assert_refused(api, engine, signed(claims(sid=2)), signed(claims(sub="2")), code="session-ended")


def test_a_garbled_token_is_refused(api: Api, ada: User, engine: Engine) -> None:
    assert_refused(api, engine, *garbled(signed()))


def test_a_token_of_bytes_that_are_no_text_is_refused(api: Api, ada: User, engine: Engine) -> None:
    assert_refused(api, engine, b"\xff\xfe.\x80.\xe2\x28")


def test_only_one_text_of_a_signature_is_good(api: Api, ada: User) -> None:
    # The last character of 32 bytes in base64 holds two bits that say nothing; all other texts of it are refused.
    token = signed()
    last = BASE64URL.index(token[-1])
    others = [token[:-1] + BASE64URL[last ^ bits] for bits in (1, 2, 3)]
    assert [problem(api.as_(other).get("/user/me/")) for other in others] == [(401, "invalid-token")] * 3


def test_each_kind_of_token_is_refused_for_the_other(api: Api, ada: User, engine: Engine) -> None:
    tokens = api.post("/token", data={"username": "ada", "password": PASSWORD}).json()
    assert_refused(api, engine, tokens["refresh_token"])
    with unchanged(engine):
        response = api.post("/refresh_token", json={"refresh_token": tokens["access_token"]})
        assert problem(response) == (401, "invalid-token")


def test_a_token_of_a_session_that_is_over_fails_on_the_very_next_request(api: Api, ada: User, engine: Engine) -> None:
    token = signed()
    assert api.as_(token).delete("/user/me/sessions/1/").status_code == 204
    assert_refused(api, engine, token, code="session-ended")


def test_a_token_of_a_deleted_user_is_refused(api: Api, ada: User, engine: Engine) -> None:
    token = signed()
    assert api.as_(token).request("DELETE", "/user/me/", json={"password": PASSWORD}).status_code == 204
    assert_refused(api, engine, token, code="session-ended")


def test_another_scheme_is_no_token(api: Api, ada: User) -> None:
    for header in ("", "Basic YWRhOmFkYQ==", "Token x", "Bearerx", "bear"):
        response = api.get("/user/me/", headers={"Authorization": header})
        assert problem(response) == (401, "not-signed-in"), header
        assert response.headers["www-authenticate"] == "Bearer"
        assert api.get("/post/", headers={"Authorization": header}).status_code == 200


def test_the_name_of_the_scheme_ignores_case(api: Api, ada: User) -> None:
    for scheme in ("bearer", "BEARER", "Bearer"):
        assert api.get("/user/me/", headers={"Authorization": f"{scheme} {signed()}"}).status_code == 200
