"""Likes: given, taken back, and listed from both sides."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.api import Api, problem
from tests.factories import World
from tests.pages import every_page, ids, pages
from tests.people import Someone
from tests.tables import tables, unchanged


@pytest.fixture
def ada(api: Api, world: World) -> Someone:
    return Someone(api, world, "ada")


@pytest.fixture
def bob(api: Api, world: World, ada: Someone) -> Someone:
    return Someone(api, world, "bob")


def test_a_like_is_counted_and_shown_to_the_one_who_likes(api: Api, ada: Someone, bob: Someone, world: World) -> None:
    world.post(by=ada.user)
    before = bob.get("/post/1/").json()
    replies = before.pop("replies")
    response = bob.post("/post/1/like/")
    assert response.status_code == 201
    assert response.json() == {**before, "like_count": 1, "liked": True}
    assert bob.get("/post/1/").json() == {**response.json(), "replies": replies}
    assert [client.get("/post/1/").json()["liked"] for client in (ada, api)] == [False, None]


def test_liking_again_is_no_news(bob: Someone, ada: Someone, world: World, engine: Engine) -> None:
    world.post(by=ada.user)
    first = bob.post("/post/1/like/")
    with unchanged(engine):
        again = bob.post("/post/1/like/")
    assert (again.status_code, again.json()) == (200, first.json())


def test_ones_own_post_may_be_liked(ada: Someone, world: World) -> None:
    world.post(by=ada.user)
    assert ada.post("/post/1/like/").json()["liked"] is True


def test_a_like_is_taken_back(ada: Someone, bob: Someone, world: World, engine: Engine) -> None:
    post = world.post(by=ada.user)
    world.like(ada.user, post)
    before = bob.get("/post/1/").json()
    bob.post("/post/1/like/")
    response = bob.delete("/post/1/like/")
    assert (response.status_code, {**response.json(), "replies": []}) == (200, before)
    assert len(tables(engine)["like"]) == 1
    with unchanged(engine):
        again = bob.delete("/post/1/like/")
    assert (again.status_code, again.json()) == (200, response.json())


def test_a_reply_is_liked_like_a_post(ada: Someone, bob: Someone, world: World) -> None:
    world.post(by=bob.user, parent=world.post(by=ada.user))
    assert ada.post("/post/2/like/").status_code == 201
    assert ids(ada.get("/post/likes/ada/").json()) == [2]
    assert [reply["liked"] for reply in ada.get("/post/1/replies/").json()] == [True]


def test_those_who_like_a_post_are_listed_newest_first(api: Api, world: World, ada: Someone, bob: Someone) -> None:
    post, other = world.post(by=ada.user), world.post(by=ada.user)
    eve = world.user("eve", name="Eve", avatar="https://example.com/eve.png")
    world.like(eve, post)
    world.like(ada.user, post)
    world.like(bob.user, other)
    shown = {"id": eve.id, "username": "eve", "name": "Eve", "avatar": "https://example.com/eve.png"}
    assert api.get("/post/1/likes/").json() == [ada.summary, shown]
    assert api.get("/post/2/likes/").json() == [bob.summary]


def test_a_post_that_nobody_likes_has_an_empty_list(api: Api, world: World, ada: Someone) -> None:
    world.post(by=ada.user)
    assert api.get("/post/1/likes/").json() == []
    assert api.get("/post/likes/ada/").json() == []


def test_what_somebody_likes_is_listed_newest_like_first(api: Api, world: World, ada: Someone, bob: Someone) -> None:
    posts = [world.post(by=ada.user) for _ in range(3)]
    for post in (posts[1], posts[2], posts[0]):
        world.like(bob.user, post)
    world.like(ada.user, posts[0])
    listed = api.get("/post/likes/BOB/").json()
    assert ids(listed) == [1, 3, 2]
    assert listed[0] == {key: value for key, value in api.get("/post/1/").json().items() if key != "replies"}
    assert [post["liked"] for post in ada.get("/post/likes/bob/").json()] == [True, False, False]


def test_likes_of_the_same_moment_are_paged_by_id(api: Api, world: World, ada: Someone) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    post = world.post(by=ada.user)
    likers = [world.user() for _ in range(7)]
    for number, liker in enumerate(likers):
        world.like(liker, post, date=moment + timedelta(microseconds=number // 4))
    assert ids(every_page(api, "/post/1/likes/?limit=2")) == [liker.id for liker in reversed(likers)]
    for _ in range(5):
        world.like(likers[0], world.post(by=ada.user), date=moment)
    liked = every_page(api, f"/post/likes/{likers[0].username}/?limit=2")
    assert ids(liked) == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("path", ["/post/1/likes/", "/post/likes/user3/"])
def test_no_page_of_likes_skips_or_repeats_while_others_like(
    api: Api, world: World, ada: Someone, bob: Someone, path: str
) -> None:
    posts = [world.post(by=ada.user) for _ in range(6)]
    likers = [world.user(f"user{number}") for number in range(3, 9)]
    for number in range(6):
        world.like(likers[number], posts[0])
        if number:
            world.like(likers[0], posts[number])
    before = ids(every_page(api, path))
    seen = []
    for page in pages(api, f"{path}?limit=2"):
        seen += ids(page)
        newcomer = world.user()
        world.like(newcomer, posts[0])
        world.like(likers[0], world.post(by=ada.user))
    assert (len(before), seen) == (6, before)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=5", "cursor=-", "cursor=1-2-3", "cursor=%00-1"]
)
def test_a_garbled_page_is_refused(api: Api, world: World, ada: Someone, query: str) -> None:
    world.post(by=ada.user)
    for path in ("/post/1/likes/", "/post/likes/ada/"):
        assert problem(api.get(f"{path}?{query}")) == (422, "invalid-request")


@pytest.mark.parametrize("cursor", ["0-0", "9999999999999999-9999999999999999"])
def test_a_cursor_from_the_edge_of_time_is_a_cursor(api: Api, world: World, ada: Someone, cursor: str) -> None:
    world.like(ada.user, world.post(by=ada.user))
    assert ids(api.get(f"/post/1/likes/?cursor={cursor}").json()) == ([] if cursor == "0-0" else [1])


def test_likes_of_nobody_are_not_found(api: Api, ada: Someone) -> None:
    assert problem(api.get("/post/likes/nobody/")) == (404, "user-not-found")
    assert problem(api.get("/post/likes/_/")) == (422, "invalid-request")
