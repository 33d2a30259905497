"""Staying signed in and signing out: refresh, revoke, and the list of sessions."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session as SqlSession

from pamps.models import Session, User
from pamps.tokens import sign_access_token
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.forge import garbled
from tests.tables import tables, unchanged


@pytest.fixture
def ada(world: World) -> User:
    return world.user("ada")


@pytest.fixture
def signed_in(api: Api, ada: User) -> dict[str, Any]:
    """The tokens of a sign-in through the API."""
    tokens: dict[str, Any] = api.post("/token", data={"username": "ada", "password": PASSWORD}).json()
    return tokens


def refresh(api: Api, token: str) -> Any:
    return api.post("/refresh_token", json={"refresh_token": token})


def test_refreshing_gives_new_tokens_of_the_same_session(api: Api, signed_in: dict[str, Any], engine: Engine) -> None:
    with SqlSession(engine) as session:
        before = session.get_one(Session, 1)
        response = refresh(api, signed_in["refresh_token"])
        new = response.json()
        assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
        assert (new["token_type"], new["expires_in"]) == ("bearer", 30 * 60)
        assert new["refresh_token"] != signed_in["refresh_token"]
        created, used, expires, family = before.created_at, before.last_used_at, before.expires_at, before.family_hash
        session.rollback()
        after = session.get_one(Session, 1)
        assert (after.created_at, after.family_hash) == (created, family)
        assert after.last_used_at > used
        assert after.expires_at > expires
    for access_token in (signed_in["access_token"], new["access_token"]):
        assert api.as_(access_token).get("/user/me/").status_code == 200
    assert refresh(api, new["refresh_token"]).status_code == 200


def test_a_spent_refresh_token_ends_its_whole_session(api: Api, signed_in: dict[str, Any], engine: Engine) -> None:
    new = refresh(api, signed_in["refresh_token"]).json()
    assert problem(refresh(api, signed_in["refresh_token"])) == (401, "session-ended")
    assert tables(engine)["session"] == []
    assert problem(refresh(api, new["refresh_token"])) == (401, "session-ended")
    assert problem(api.as_(new["access_token"]).get("/user/me/")) == (401, "session-ended")


def test_a_spent_refresh_token_ends_no_other_session(api: Api, signed_in: dict[str, Any], world: World) -> None:
    others = [world.sign_in(world.user("bob"))[0]]
    others.append(api.post("/token", data={"username": "ada", "password": PASSWORD}).json()["access_token"])
    refresh(api, signed_in["refresh_token"])
    refresh(api, signed_in["refresh_token"])
    assert [api.as_(token).get("/user/me/").status_code for token in others] == [200, 200]


def test_an_expired_session_is_not_refreshed(api: Api, ada: User, world: World, engine: Engine) -> None:
    access, token = world.sign_in(ada, expires_in=timedelta(seconds=-1))
    with unchanged(engine):
        assert problem(refresh(api, token.text)) == (401, "session-ended")
        assert problem(api.as_(access).get("/user/me/")) == (401, "session-ended")


def test_a_refresh_takes_a_refresh_token(api: Api) -> None:
    for body in ({}, {"refresh_token": None}, {"refresh_token": 1}, {"refresh_token": "t" * 2049}):
        assert problem(api.post("/refresh_token", json=body)) == (422, "invalid-request"), body


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("form", ["json", "data"])
def test_revoking_either_token_ends_its_session_at_once(
    api: Api, signed_in: dict[str, Any], world: World, ada: User, kind: str, form: str
) -> None:
    other, _ = world.sign_in(ada)
    body: dict[str, Any] = {form: {"token": signed_in[kind]}}
    response = api.post("/revoke_token", **body)
    assert (response.status_code, response.json()) == (200, {})
    assert problem(api.as_(signed_in["access_token"]).get("/user/me/")) == (401, "session-ended")
    assert problem(refresh(api, signed_in["refresh_token"])) == (401, "session-ended")
    assert api.as_(other).get("/user/me/").status_code == 200


def test_revoking_may_say_more_in_a_form(api: Api, signed_in: dict[str, Any], engine: Engine) -> None:
    form = {"token": signed_in["refresh_token"], "token_type_hint": "refresh_token", "client_id": "x"}
    assert api.post("/revoke_token", data=form).status_code == 200
    assert tables(engine)["session"] == []


def test_revoking_a_spent_refresh_token_ends_the_session_too(
    api: Api, signed_in: dict[str, Any], engine: Engine
) -> None:
    refresh(api, signed_in["refresh_token"])
    assert api.post("/revoke_token", json={"token": signed_in["refresh_token"]}).status_code == 200
    assert tables(engine)["session"] == []


def test_revoking_works_with_an_access_token_that_has_expired(
    api: Api, world: World, ada: User, engine: Engine
) -> None:
    world.sign_in(ada)
    token = sign_access_token(1, 1, time.time() - 3600, api.application.state.settings.security)
    assert problem(api.as_(token).get("/user/me/")) == (401, "token-expired")
    assert api.post("/revoke_token", json={"token": token}).status_code == 200
    assert tables(engine)["session"] == []


def test_revoking_what_is_no_token_is_well(api: Api, signed_in: dict[str, Any], engine: Engine) -> None:
    with unchanged(engine):
        for token in ("", "x", "a.b.c", "x" * 86, "\0", "مرحبا", "t" * 8192, *garbled(signed_in["access_token"])):
            if len(token) <= 8192:
                as_json = api.post("/revoke_token", json={"token": token})
                as_form = api.post("/revoke_token", data={"token": token})
                assert (as_json.status_code, as_json.json()) == (as_form.status_code, as_form.json()) == (200, {}), (
                    token
                )


def test_revoking_twice_is_well(api: Api, signed_in: dict[str, Any]) -> None:
    for _ in range(2):
        assert api.post("/revoke_token", json={"token": signed_in["refresh_token"]}).status_code == 200


NO_TOKENS: list[dict[str, Any]] = [
    {"json": {}},
    {"json": {"token": None}},
    {"json": {"token": 5}},
    {"json": ["token"]},
    {"json": {"token": "x", "more": "y"}},
    {"json": {"token": "t" * 8193}},
    {"data": {}, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    {"data": {"other": "x"}},
    {"data": {"token": "t" * 8193}},
    {"files": {"token": ("token.txt", "x")}},
]


def test_revoking_takes_a_token(api: Api, signed_in: dict[str, Any], engine: Engine) -> None:
    with unchanged(engine):
        for body in NO_TOKENS:
            response = api.post("/revoke_token", **body)
            assert problem(response) == (422, "invalid-request"), body
            assert response.json()["errors"][0]["loc"][0] == "body"


def test_my_sessions_are_listed_newest_first(api: Api, world: World, ada: User, signed_in: dict[str, Any]) -> None:
    world.sign_in(world.user("bob"))
    second = api.post("/token", data={"username": "ada", "password": PASSWORD}, headers={"User-Agent": "Phone"}).json()
    world.sign_in(ada, expires_in=timedelta(seconds=-1))  # after that, which would have swept it
    found = api.as_(second["access_token"]).get("/user/me/sessions/").json()
    assert [(one["user_agent"], one["ip"], one["current"]) for one in found] == [
        ("Phone", "testclient", True),
        ("testclient", "testclient", False),
    ]
    for one in found:
        created, used = (datetime.fromisoformat(one[name]) for name in ("created_at", "last_used_at"))
        assert created <= used <= datetime.now(UTC)


def test_the_sessions_come_in_pages(api: Api, world: World, ada: User) -> None:
    token, *_ = [world.sign_in(ada)[0] for _ in range(5)]
    first = api.as_(token).get("/user/me/sessions/?limit=3")
    second = api.as_(token).get(first.links["next"]["url"])
    assert [[one["id"] for one in page.json()] for page in (first, second)] == [[5, 4, 3], [2, 1]]
    assert "link" not in second.headers


def test_ending_a_session_ends_just_that_one(api: Api, world: World, ada: User, signed_in: dict[str, Any]) -> None:
    other, refresh_token = world.sign_in(ada)
    as_ada = api.as_(signed_in["access_token"])
    response = as_ada.delete("/user/me/sessions/2/")
    assert (response.status_code, response.content) == (204, b"")
    assert problem(api.as_(other).get("/user/me/")) == (401, "session-ended")
    assert problem(refresh(api, refresh_token.text)) == (401, "session-ended")
    assert [one["id"] for one in as_ada.get("/user/me/sessions/").json()] == [1]


def test_ending_my_own_session_signs_me_out(api: Api, signed_in: dict[str, Any]) -> None:
    as_ada = api.as_(signed_in["access_token"])
    assert as_ada.delete("/user/me/sessions/1/").status_code == 204
    assert problem(as_ada.delete("/user/me/sessions/1/")) == (401, "session-ended")


def test_a_session_of_another_or_of_nobody_is_not_there(
    api: Api, world: World, signed_in: dict[str, Any], engine: Engine
) -> None:
    world.sign_in(world.user("bob"))
    as_ada = api.as_(signed_in["access_token"])
    with unchanged(engine):
        assert problem(as_ada.delete("/user/me/sessions/2/")) == (404, "session-not-found")
        assert problem(as_ada.delete("/user/me/sessions/3/")) == (404, "session-not-found")


def test_a_garbled_session_id_is_refused(api: Api, signed_in: dict[str, Any], engine: Engine) -> None:
    with unchanged(engine):
        for garbled in ("0", "-1", "x", str(2**53), "9" * 40):
            response = api.as_(signed_in["access_token"]).delete(f"/user/me/sessions/{garbled}/")
            assert problem(response) == (422, "invalid-request"), garbled


def test_the_sessions_are_for_the_signed_in(api: Api, signed_in: dict[str, Any], engine: Engine) -> None:
    with unchanged(engine):
        assert problem(api.get("/user/me/sessions/")) == (401, "not-signed-in")
        assert problem(api.delete("/user/me/sessions/1/")) == (401, "not-signed-in")
