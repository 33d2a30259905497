"""Changing one's profile, and leaving."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.api import Api, Signed, problem
from tests.factories import PASSWORD, World
from tests.tables import tables, unchanged


@pytest.fixture
def as_ada(api: Api, world: World) -> Signed:
    ada = world.user("ada", name="Ada", avatar="https://example.com/a.png", bio="Hello.")
    return api.as_(world.sign_in(ada)[0])


CHANGES: list[tuple[str, Any]] = [
    ("name", "Ada 👩‍💻 Lovelace"),
    ("name", "عائشة"),
    ("avatar", "http://example.com/new.png"),
    ("bio", "line\nline"),
    ("bio", ""),
    ("email", "new@example.com"),
    ("email", "ADA@example.com"),
    ("username", "lovelace"),
    ("username", "ADA"),
    ("name", None),
    ("avatar", None),
    ("bio", None),
]


def test_what_is_sent_changes_and_the_rest_stays(as_ada: Signed) -> None:
    for field, value in CHANGES:
        before = as_ada.get("/user/me/").json()
        response = as_ada.patch("/user/me/", json={field: value})
        assert (response.status_code, response.json()) == (200, {**before, field: value})
        assert as_ada.get("/user/me/").json() == response.json()


def test_everything_may_change_at_once(as_ada: Signed) -> None:
    new = {"name": "N", "avatar": "https://n.example/", "bio": "B", "email": "n@example.com", "username": "n.n"}
    assert {**as_ada.get("/user/me/").json(), **new} == as_ada.patch("/user/me/", json=new).json()


def test_an_empty_change_changes_nothing(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        assert as_ada.patch("/user/me/", json={}).json() == as_ada.get("/user/me/").json()


def test_an_email_is_changed_only_soon_after_a_sign_in(api: Api, world: World, engine: Engine) -> None:
    token, refresh = world.sign_in(world.user("ada"))

    def began(minutes: int) -> None:
        with engine.begin() as connection:
            ago = text("UPDATE session SET created_at = now() - make_interval(mins => :minutes)")
            connection.execute(ago, {"minutes": minutes})

    began(14)
    assert api.as_(token).patch("/user/me/", json={"email": "ada@example.org"}).status_code == 200
    began(16)
    renewed = api.post("/refresh_token", json={"refresh_token": refresh.text}).json()["access_token"]
    for stolen in (token, renewed):
        as_thief = api.as_(stolen)
        for more in ({}, {"name": "Ada", "username": "lovelace"}):
            with unchanged(engine):
                answer = as_thief.patch("/user/me/", json={"email": "thief@example.com", **more})
            assert problem(answer) == (403, "recent-sign-in-needed")
        assert as_thief.patch("/user/me/", json={"email": "ada@example.org", "name": "Ada"}).status_code == 200
    again = api.post("/token", data={"username": "ada", "password": PASSWORD}).json()["access_token"]
    assert api.as_(again).patch("/user/me/", json={"email": "ada@example.com"}).status_code == 200


def test_a_new_username_is_the_one_to_sign_in_with(api: Api, as_ada: Signed) -> None:
    as_ada.patch("/user/me/", json={"username": "lovelace"})
    assert problem(api.post("/token", data={"username": "ada", "password": PASSWORD})) == (401, "wrong-credentials")
    assert api.post("/token", data={"username": "lovelace", "password": PASSWORD}).status_code == 200
    assert problem(api.get("/user/ada/")) == (404, "user-not-found")


REFUSED = [
    ({"username": "BOB"}, "username-taken"),
    ({"email": "BOB@example.com"}, "email-taken"),
    ({"username": "me"}, "username-reserved"),
    ({"username": "Settings"}, "username-reserved"),
]


def test_what_is_anothers_or_reserved_is_refused(as_ada: Signed, world: World, engine: Engine) -> None:
    world.user("bob")
    with unchanged(engine):
        for change, code in REFUSED:
            assert problem(as_ada.patch("/user/me/", json={"name": "New", **change})) == (409, code)


UNFIT: list[dict[str, Any]] = [
    {"username": None},
    {"email": None},
    {"username": "a"},
    {"username": "123"},
    {"email": "nothing"},
    {"name": ""},
    {"name": " \n "},
    {"name": "n" * 101},
    {"avatar": "no address"},
    {"bio": "b" * 501},
    {"bio": 1},
    {"id": 5},
    {"password": "a new password"},
    {"post_count": 100},
    {"created_at": "2020-01-01T00:00:00Z"},
]


def test_an_unfit_change_is_refused_whole(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for change in UNFIT:
            response = as_ada.patch("/user/me/", json={"name": "New", **change})
            assert problem(response) == (422, "invalid-request"), change
            assert {error["loc"][1] for error in response.json()["errors"]} == set(change)


def test_changing_is_for_the_signed_in(api: Api, as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        assert problem(api.patch("/user/me/", json={"name": "New"})) == (401, "not-signed-in")


def test_a_change_shows_in_what_one_wrote(as_ada: Signed, world: World, api: Api) -> None:
    post = as_ada.post("/post/", json={"text": "Hello"}).json()
    as_ada.patch("/user/me/", json={"username": "lovelace", "name": "A. L."})
    author = api.get(f"/post/{post['id']}/").json()["user"]
    assert (author["username"], author["name"]) == ("lovelace", "A. L.")


def leave(who: Signed, **body: Any) -> Any:
    return who.delete("/user/me/", json=body)


def test_who_leaves_is_gone_with_all_they_wrote(api: Api, world: World, engine: Engine) -> None:
    ada, bob = world.user("ada"), world.user("bob")
    theirs, mine = world.post(by=bob), world.post(by=ada)
    world.post(by=ada, parent=theirs)
    world.like(ada, theirs)
    world.like(bob, mine)
    world.follow(ada, bob)
    world.follow(bob, ada)
    token, refresh = world.sign_in(ada)

    response = leave(api.as_(token), password=PASSWORD)
    assert (response.status_code, response.content) == (204, b"")

    left = tables(engine)
    assert (len(left["user"]), len(left["post"]), left["social"], left["like"], left["session"]) == (1, 1, [], [], [])
    bobs = api.get("/user/bob/").json()
    assert (bobs["follower_count"], bobs["following_count"], bobs["post_count"]) == (0, 0, 1)
    post = api.get(f"/post/{theirs.id}/").json()
    assert (post["like_count"], post["reply_count"], post["replies"]) == (0, 0, [])
    assert problem(api.get("/user/ada/")) == (404, "user-not-found")
    assert problem(api.as_(token).get("/user/me/")) == (401, "session-ended")
    assert problem(api.post("/refresh_token", json={"refresh_token": refresh.text})) == (401, "session-ended")
    assert problem(api.post("/token", data={"username": "ada", "password": PASSWORD})) == (401, "wrong-credentials")


def test_a_post_of_one_who_left_stays_as_a_tombstone_while_others_reply_under_it(api: Api, world: World) -> None:
    ada, bob = world.user("ada"), world.user("bob")
    root = world.post(by=ada, text="mine")
    reply = world.post(by=bob, text="stays", parent=root)
    assert leave(api.as_(world.sign_in(ada)[0]), password=PASSWORD).status_code == 204
    thread = api.get(f"/post/{reply.id}/thread/").json()
    assert [(post["text"], post["user"], post["deleted"]) for post in thread["ancestors"]] == [("", None, True)]
    assert thread["post"]["text"] == "stays"


def test_the_name_of_one_who_left_is_free(api: Api, as_ada: Signed) -> None:
    leave(as_ada, password=PASSWORD)
    again = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    response = api.post("/user/", json=again)
    assert (response.status_code, response.json()["id"]) == (201, 2)


def test_who_leaves_proves_it_by_the_password(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for password in ("", "wrong", PASSWORD.upper(), f"{PASSWORD} ", f"{PASSWORD}\0"):
            assert problem(leave(as_ada, password=password)) == (403, "wrong-password"), password


def test_the_last_admin_leaves_only_when_there_is_another(api: Api, world: World, engine: Engine) -> None:
    root = world.user("root", role="admin")
    world.user("suspended", role="admin", suspended_at=datetime.now(UTC), suspended_reason="Spam.")
    as_root = api.as_(world.sign_in(root)[0])
    assert problem(leave(as_root, password=PASSWORD)) == (409, "last-admin")
    assert as_root.get("/user/me/").status_code == 200
    world.user("other", role="admin")
    assert leave(as_root, password=PASSWORD).status_code == 204
    with engine.connect() as connection:
        names = connection.scalars(text('SELECT username FROM "user" ORDER BY id')).all()
    assert names == ["suspended", "other"]


def test_leaving_takes_a_password(as_ada: Signed, engine: Engine) -> None:
    bodies: list[dict[str, Any]] = [{}, {"password": None}, {"password": 1}, {"password": "p" * 257}]
    with unchanged(engine):
        for body in bodies:
            assert problem(leave(as_ada, **body)) == (422, "invalid-request"), body


def test_leaving_is_for_the_signed_in(api: Api, as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        assert problem(api.request("DELETE", "/user/me/", json={"password": PASSWORD})) == (401, "not-signed-in")
