"""Signing in, and changing one's password."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from httpx2 import Response
from sqlalchemy import Engine
from sqlmodel import Session as SqlSession
from sqlmodel import select

from pamps.models import Session
from pamps.tokens import kid
from tests.api import Api, problem
from tests.conftest import SECRET
from tests.factories import PASSWORD, World
from tests.tables import tables, unchanged

NEW = "a better password"


def sign_in(api: Api, username: str = "ada", password: str = PASSWORD, **more: str) -> Response:
    return api.post("/token", data={"username": username, "password": password, **more})


@pytest.fixture
def ada(world: World) -> int:
    user = world.user("Ada")
    assert user.id is not None
    return user.id


def test_signing_in_gives_tokens_that_no_cache_keeps(api: Api, ada: int) -> None:
    response = sign_in(api)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert (body["token_type"], body["expires_in"]) == ("bearer", 30 * 60)
    assert api.as_(body["access_token"]).get("/user/me/").json()["username"] == "Ada"


def test_an_access_token_claims_what_the_contract_says(api: Api, ada: int) -> None:
    before = int(time.time())
    token = sign_in(api).json()["access_token"]
    after = int(time.time())
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": kid(SECRET)}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="pamps")
    assert before <= claims["iat"] <= after
    assert before + 30 * 60 <= claims["exp"] <= after + 30 * 60 + 1
    assert (claims["kind"], claims["sub"], claims["sid"], claims["iss"]) == ("access", str(ada), 1, "pamps")
    assert claims.keys() == {"kind", "sub", "sid", "iat", "exp", "iss"}


def test_a_session_keeps_hashes_the_client_and_a_sliding_end(api: Api, ada: int, engine: Engine) -> None:
    before = datetime.now(UTC)
    refresh_token = api.post(
        "/token", data={"username": "ada", "password": PASSWORD}, headers=[(b"User-Agent", b"Phone \xff" + b"x" * 500)]
    ).json()["refresh_token"]
    with SqlSession(engine) as session:
        row = session.exec(select(Session)).one()
    assert (row.user_id, row.ip) == (ada, "testclient")
    assert row.user_agent is not None
    assert len(row.user_agent) == 300
    assert timedelta(0) <= row.expires_at - before - timedelta(days=30) < timedelta(minutes=1)
    assert row.family_hash
    assert len(row.family_hash) == len(row.token_hash) == 32
    assert refresh_token not in str(tables(engine))


def test_the_login_is_the_username_or_the_email_whatever_the_case(api: Api, ada: int) -> None:
    for login in ("Ada", "ada", "ADA", "Ada@example.com", "ADA@EXAMPLE.COM"):
        assert sign_in(api, login).status_code == 200, login


def test_the_grant_type_is_password_or_nothing(api: Api, ada: int, engine: Engine) -> None:
    grants: list[dict[str, str]] = [{}, {"grant_type": ""}, {"grant_type": "password"}]
    assert [sign_in(api, **grant).status_code for grant in grants] == [200, 200, 200]
    with unchanged(engine):
        for grant in ("refresh_token", "client_credentials", "Password", " "):
            assert problem(sign_in(api, grant_type=grant)) == (400, "unsupported-grant-type"), grant


def test_what_else_an_oauth2_client_sends_is_ignored(api: Api, ada: int) -> None:
    assert sign_in(api, scope="read write", client_id="x", client_secret="y", audience="z").status_code == 200


def test_a_multipart_form_will_do(api: Api, ada: int) -> None:
    form = {"username": (None, "ada"), "password": (None, PASSWORD)}
    assert api.post("/token", files=form).status_code == 200


WRONG = [
    ("nobody", PASSWORD),
    ("nobody@example.com", PASSWORD),
    ("1", PASSWORD),
    ("ada", "wrong"),
    ("ada", PASSWORD.upper()),
    ("ada", PASSWORD + " "),
    ("ada ", PASSWORD),
    ("ada", "\0"),
    ("ada", PASSWORD + "\0"),
    ("ada\0", PASSWORD),
    ("\0", "\0"),
    ("ada' --", PASSWORD),
    ("😀", "😀"),
]


def test_wrong_credentials_are_one_and_the_same_refusal(api: Api, ada: int, engine: Engine) -> None:
    with unchanged(engine):
        answers = [sign_in(api, username, password) for username, password in WRONG]
    assert [problem(answer) for answer in answers] == [(401, "wrong-credentials")] * len(WRONG)
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert len({answer.text for answer in answers}) == 1


INCOMPLETE: list[tuple[dict[str, str], set[str]]] = [
    ({}, {"username", "password"}),
    ({"username": "ada"}, {"password"}),
    ({"password": PASSWORD}, {"username"}),
    ({"username": "", "password": ""}, {"username", "password"}),
    ({"username": "a" * 255, "password": "p" * 257}, {"username", "password"}),
    ({"user": "ada", "pass": PASSWORD}, {"username", "password"}),
]


def test_a_form_without_its_fields_is_refused(api: Api, ada: int, engine: Engine) -> None:
    with unchanged(engine):
        for form, missing in INCOMPLETE:
            response = api.post("/token", data=form)
            assert problem(response) == (422, "invalid-request"), form
            assert {error["loc"][-1] for error in response.json()["errors"]} == missing


def test_a_file_is_no_password(api: Api, ada: int, engine: Engine) -> None:
    form = {"username": (None, "ada"), "password": ("password.txt", PASSWORD)}
    with unchanged(engine):
        assert problem(api.post("/token", files=form)) == (422, "invalid-request")


def test_signing_in_sweeps_ones_expired_sessions(api: Api, world: World, engine: Engine) -> None:
    ada, bob = world.user("ada"), world.user("bob")
    for user in (ada, bob):
        world.sign_in(user, expires_in=timedelta(seconds=-1))
    world.sign_in(ada)
    assert sign_in(api).status_code == 200
    with SqlSession(engine) as session:
        assert sorted(row.user_id for row in session.exec(select(Session))) == [1, 1, 2]


def test_a_new_password_is_the_only_one_and_ends_every_other_session(api: Api, ada: int, world: World) -> None:
    bob = world.sign_in(world.user("bob"))[0]
    mine, other = sign_in(api).json(), sign_in(api).json()
    as_me = api.as_(mine["access_token"])
    response = as_me.put("/user/me/password/", json={"current_password": PASSWORD, "new_password": NEW})
    assert (response.status_code, response.content) == (204, b"")
    assert problem(api.as_(other["access_token"]).get("/user/me/")) == (401, "session-ended")
    ended = api.post("/refresh_token", json={"refresh_token": other["refresh_token"]})
    assert problem(ended) == (401, "session-ended")
    assert as_me.get("/user/me/").status_code == 200
    assert api.post("/refresh_token", json={"refresh_token": mine["refresh_token"]}).status_code == 200
    assert api.as_(bob).get("/user/me/").status_code == 200
    assert problem(sign_in(api)) == (401, "wrong-credentials")
    assert sign_in(api, password=NEW).status_code == 200


def test_a_password_is_changed_only_by_who_knows_it(api: Api, ada: int, engine: Engine) -> None:
    as_me = api.as_(sign_in(api).json()["access_token"])
    with unchanged(engine):
        for current in ("", "wrong", NEW, PASSWORD + "\0", "\0"):
            response = as_me.put("/user/me/password/", json={"current_password": current, "new_password": NEW})
            assert problem(response) == (403, "wrong-password"), current


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"new_password": "seven77"}, "new_password"),
    ({"new_password": "p" * 257}, "new_password"),
    ({"new_password": "null\0null"}, "new_password"),
    ({"new_password": None}, "new_password"),
    ({"current_password": None}, "current_password"),
    ({"current_password": "p" * 257}, "current_password"),
    ({"password": NEW}, "password"),
]


def test_an_unfit_password_is_refused(api: Api, ada: int, engine: Engine) -> None:
    as_me = api.as_(sign_in(api).json()["access_token"])
    with unchanged(engine):
        for change, field in UNFIT:
            body = {"current_password": PASSWORD, "new_password": NEW, **change}
            response = as_me.put("/user/me/password/", json=body)
            assert problem(response) == (422, "invalid-request"), change
            assert [error["loc"] for error in response.json()["errors"]] == [["body", field]]


def test_changing_the_password_is_for_the_signed_in(api: Api, ada: int, engine: Engine) -> None:
    with unchanged(engine):
        body = {"current_password": PASSWORD, "new_password": NEW}
        assert problem(api.put("/user/me/password/", json=body)) == (401, "not-signed-in")
