"""Following, and the lists of followers and followed."""

import pytest
from sqlalchemy import Engine

from pamps.models import User
from pamps.models.shape import MAX_ID
from tests.api import Api, Signed, problem
from tests.factories import World
from tests.tables import tables, unchanged


@pytest.fixture
def ada(world: World) -> User:
    return world.user("ada")


@pytest.fixture
def bob(world: World, ada: User) -> User:
    return world.user("Bob")


@pytest.fixture
def as_ada(api: Api, world: World, ada: User) -> Signed:
    return api.as_(world.sign_in(ada)[0])


def names(api: Api, url: str) -> list[str]:
    response = api.get(url)
    assert response.status_code == 200
    return [user["username"] for user in response.json()]


@pytest.mark.parametrize("whom", ["2", "Bob", "bob", "BOB"])
def test_following_answers_the_one_followed(api: Api, as_ada: Signed, bob: User, whom: str) -> None:
    response = as_ada.post(f"/user/follow/{whom}/")
    assert response.status_code == 201
    body = response.json()
    assert (body["id"], body["follower_count"], body["is_following"]) == (bob.id, 1, True)
    assert body == as_ada.get("/user/bob/").json()
    assert api.get("/user/ada/").json()["following_count"] == 1


def test_following_again_is_no_news(as_ada: Signed, bob: User, engine: Engine) -> None:
    first = as_ada.post("/user/follow/bob/")
    with unchanged(engine):
        again = as_ada.post("/user/follow/2/")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_no_longer_following_answers_the_one_left(api: Api, as_ada: Signed, bob: User, engine: Engine) -> None:
    as_ada.post("/user/follow/bob/")
    response = as_ada.delete("/user/follow/BOB/")
    assert response.status_code == 200
    assert (response.json()["follower_count"], response.json()["is_following"]) == (0, False)
    assert response.json() == as_ada.get("/user/bob/").json()
    assert tables(engine)["social"] == []
    assert api.get("/user/ada/").json()["following_count"] == 0


def test_leaving_one_who_was_not_followed_changes_nothing(as_ada: Signed, bob: User, engine: Engine) -> None:
    with unchanged(engine):
        response = as_ada.delete("/user/follow/2/")
    assert (response.status_code, response.json()) == (200, as_ada.get("/user/bob/").json())


def test_two_may_follow_each_other(api: Api, world: World, as_ada: Signed, bob: User) -> None:
    as_bob = api.as_(world.sign_in(bob)[0])
    as_ada.post("/user/follow/bob/")
    body = as_bob.post("/user/follow/ada/").json()
    assert (body["is_following"], body["is_followed_by"]) == (True, True)
    assert (body["follower_count"], body["following_count"]) == (1, 1)


def test_nobody_follows_themselves(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for myself in ("1", "ada", "ADA"):
            assert problem(as_ada.post(f"/user/follow/{myself}/")) == (409, "self-follow")
            assert as_ada.delete(f"/user/follow/{myself}/").json()["is_following"] is False


def test_nobody_follows_nobody(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for nobody in ("3", "nobody", str(MAX_ID), "9999999999999999", "me"):
            assert problem(as_ada.post(f"/user/follow/{nobody}/")) == (404, "user-not-found"), nobody
            assert problem(as_ada.delete(f"/user/follow/{nobody}/")) == (404, "user-not-found"), nobody


def test_a_garbled_id_is_refused(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for garbled in ("0", "-1", "01", "a", "9" * 17, "9" * 40, "a b", "%00", "\u0661"):
            assert problem(as_ada.post(f"/user/follow/{garbled}/")) == (422, "invalid-request"), garbled
            assert problem(as_ada.delete(f"/user/follow/{garbled}/")) == (422, "invalid-request"), garbled


def test_following_is_for_the_signed_in(api: Api, bob: User, engine: Engine) -> None:
    with unchanged(engine):
        assert problem(api.post("/user/follow/bob/")) == (401, "not-signed-in")
        assert problem(api.delete("/user/follow/bob/")) == (401, "not-signed-in")


def test_followers_and_followed_are_listed_newest_first(api: Api, world: World, ada: User, bob: User) -> None:
    cora, dan = world.user("cora"), world.user("dan")
    for who in (cora, ada, dan):
        world.follow(who, bob)
    for whom in (dan, cora):
        world.follow(ada, whom)
    assert names(api, "/user/BOB/followers/") == ["dan", "ada", "cora"]
    assert names(api, "/user/Ada/following/") == ["cora", "dan", "Bob"]
    assert names(api, "/user/bob/following/") == []
    assert names(api, "/user/ada/followers/") == []


def test_the_lists_tell_a_viewer_whom_they_follow(as_ada: Signed, world: World, ada: User, bob: User) -> None:
    cora = world.user("cora")
    for who in (ada, cora):
        world.follow(who, bob)
    world.follow(ada, cora)
    world.follow(cora, ada)
    found = {user["username"]: user for user in as_ada.get("/user/bob/followers/").json()}
    assert (found["cora"]["is_following"], found["cora"]["is_followed_by"]) == (True, True)
    assert (found["ada"]["is_following"], found["ada"]["is_followed_by"]) == (False, False)
    assert found["cora"] == as_ada.get("/user/cora/").json()


def test_one_followed_again_is_the_newest(api: Api, as_ada: Signed, world: World, bob: User) -> None:
    world.user("cora")
    for whom in ("bob", "cora"):
        as_ada.post(f"/user/follow/{whom}/")
    as_ada.delete("/user/follow/bob/")
    as_ada.post("/user/follow/bob/")
    assert names(api, "/user/ada/following/") == ["Bob", "cora"]


def test_who_left_is_in_no_list(api: Api, world: World, as_ada: Signed, bob: User) -> None:
    world.follow(bob, world.user("cora"))
    as_ada.post("/user/follow/bob/")
    api.as_(world.sign_in(bob)[0]).delete("/user/me/", json={"password": "correct horse battery"})
    assert names(api, "/user/ada/following/") == []
    assert names(api, "/user/cora/followers/") == []
    assert api.get("/user/ada/").json()["following_count"] == 0


@pytest.mark.parametrize("side", ["followers", "following"])
def test_nobody_has_no_lists(api: Api, side: str) -> None:
    assert problem(api.get(f"/user/nobody/{side}/")) == (404, "user-not-found")
    assert problem(api.get(f"/user/me/{side}/")) == (404, "user-not-found")
    assert problem(api.get(f"/user/12345/{side}/")) == (422, "invalid-request")
