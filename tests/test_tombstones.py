"""Deleting posts and accounts: what goes, and what stays in its place while something is under it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from pamps.models import Post
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.pages import ids
from tests.people import Someone
from tests.tables import tables, unchanged
from tests.test_counters import recount


@pytest.fixture
def ada(api: Api, world: World) -> Someone:
    return Someone(api, world, "ada")


@pytest.fixture
def bob(api: Api, world: World, ada: Someone) -> Someone:
    return Someone(api, world, "bob")


def tombstone(post: Post, replies: int) -> dict[str, Any]:
    """What is shown of a post that is gone and has so many replies."""
    return {
        "id": post.id,
        "text": "",
        "date": post.date.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "edited_at": None,
        "user_id": None,
        "parent_id": post.parent_id,
        "user": None,
        "deleted": True,
        "like_count": 0,
        "reply_count": replies,
        "liked": None,
    }


def leave(who: Someone) -> None:
    assert who.request("DELETE", "/user/me/", json={"password": PASSWORD}).status_code == 204


def test_a_post_without_replies_just_goes(ada: Someone, bob: Someone, world: World, engine: Engine) -> None:
    kept, gone = world.post(by=ada.user), world.post(by=ada.user)
    world.like(bob.user, gone)
    response = ada.delete(f"/post/{gone.id}/")
    assert (response.status_code, response.content) == (204, b"")
    assert ids(ada.get("/post/").json()) == [kept.id]
    assert (len(tables(engine)["post"]), tables(engine)["like"]) == (1, [])
    assert ada.get("/user/ada/").json()["post_count"] == 1
    for path in (f"/post/{gone.id}/", f"/post/{gone.id}/thread/"):
        assert problem(ada.get(path)) == (404, "post-not-found")
    assert problem(ada.delete(f"/post/{gone.id}/")) == (404, "post-not-found")


def test_a_post_with_replies_becomes_a_tombstone_that_only_threads_show(
    api: Api, ada: Someone, bob: Someone, world: World
) -> None:
    post = world.post(by=ada.user, edited_at=datetime(2026, 1, 1, tzinfo=UTC))
    reply = world.post(by=bob.user, parent=post)
    world.follow(bob.user, ada.user)
    world.like(bob.user, post)
    assert ada.delete("/post/1/").status_code == 204
    thread = api.get("/post/2/thread/").json()
    assert (thread["ancestors"], thread["post"]["id"]) == ([tombstone(post, replies=1)], reply.id)
    thread = api.get("/post/1/thread/").json()
    assert (thread["post"], ids(thread["descendants"])) == (tombstone(post, replies=1), [reply.id])
    for path in ("/post/", "/post/user/ada/", "/post/user/ada/?include_replies=true", "/post/likes/bob/"):
        assert api.get(path).json() == []
    assert bob.get("/user/timeline/").json() == []
    assert api.get("/user/ada/").json()["post_count"] == 0
    assert ids(api.get("/post/user/bob/?include_replies=true").json()) == [reply.id]


def test_a_tombstone_is_not_read_liked_or_changed(ada: Someone, bob: Someone, world: World, engine: Engine) -> None:
    world.post(by=bob.user, parent=world.post(by=ada.user))
    ada.delete("/post/1/")
    with unchanged(engine):
        for path in ("/post/1/", "/post/1/replies/", "/post/1/likes/"):
            assert problem(ada.get(path)) == (404, "post-not-found")
        assert problem(ada.patch("/post/1/", json={"text": "again"})) == (404, "post-not-found")
        assert problem(ada.delete("/post/1/")) == (404, "post-not-found")
        assert problem(bob.post("/post/1/like/")) == (404, "post-not-found")
        assert problem(bob.delete("/post/1/like/")) == (404, "post-not-found")


def test_a_reply_that_becomes_a_tombstone_is_no_longer_listed_or_counted(
    api: Api, ada: Someone, bob: Someone, world: World
) -> None:
    post = world.post(by=ada.user)
    reply = world.post(by=bob.user, parent=post)
    other = world.post(by=ada.user, parent=post)
    answer = world.post(by=ada.user, parent=reply)
    bob.delete("/post/2/")
    body = api.get("/post/1/").json()
    assert (body["reply_count"], ids(body["replies"])) == (1, [other.id])
    assert ids(api.get("/post/1/replies/").json()) == [other.id]
    descendants = api.get("/post/1/thread/").json()["descendants"]
    assert (descendants[0], ids(descendants)) == (tombstone(reply, replies=1), [reply.id, answer.id, other.id])


def test_tombstones_go_with_the_last_post_under_them(ada: Someone, bob: Someone, world: World, engine: Engine) -> None:
    root = world.post(by=ada.user)
    middle = world.post(by=ada.user, parent=root)
    first, last = (world.post(by=bob.user, parent=middle) for _ in range(2))
    ada.delete(f"/post/{root.id}/")
    ada.delete(f"/post/{middle.id}/")
    bob.delete(f"/post/{first.id}/")
    thread = ada.get(f"/post/{last.id}/thread/").json()
    assert (ids(thread["ancestors"]), ids(thread["descendants"])) == ([root.id, middle.id], [])
    bob.delete(f"/post/{last.id}/")
    assert tables(engine)["post"] == []


def test_the_going_stops_where_something_else_holds_the_thread(
    ada: Someone, bob: Someone, world: World, engine: Engine
) -> None:
    root = world.post(by=ada.user)
    middle = world.post(by=ada.user, parent=root)
    last = world.post(by=bob.user, parent=middle)
    other = world.post(by=bob.user, parent=root)
    ada.delete(f"/post/{root.id}/")
    ada.delete(f"/post/{middle.id}/")
    bob.delete(f"/post/{last.id}/")
    thread = bob.get(f"/post/{root.id}/thread/").json()
    assert (thread["post"]["reply_count"], ids(thread["descendants"])) == (1, [other.id])
    assert len(tables(engine)["post"]) == 2


def test_a_post_stays_when_the_tombstones_under_it_go(ada: Someone, bob: Someone, world: World) -> None:
    post = world.post(by=ada.user)
    reply = world.post(by=bob.user, parent=post)
    last = world.post(by=ada.user, parent=reply)
    bob.delete(f"/post/{reply.id}/")
    ada.delete(f"/post/{last.id}/")
    thread = ada.get("/post/1/thread/").json()
    assert (thread["post"]["deleted"], thread["post"]["reply_count"], thread["descendants"]) == (False, 0, [])


def test_a_tombstone_with_nothing_but_a_tombstone_under_it_counts_no_replies(
    api: Api, ada: Someone, bob: Someone, world: World
) -> None:
    post = world.post(by=ada.user)
    reply = world.post(by=ada.user, parent=post)
    world.post(by=bob.user, parent=reply)
    ada.delete("/post/2/")
    ada.delete("/post/1/")
    thread = api.get("/post/3/thread/").json()
    assert thread["ancestors"] == [tombstone(post, replies=0), tombstone(reply, replies=1)]


def test_leaving_takes_all_that_one_wrote_but_a_place_above_the_replies_of_others(
    api: Api, ada: Someone, bob: Someone, world: World, engine: Engine
) -> None:
    alone = world.post(by=ada.user)
    answered = world.post(by=ada.user)
    answer = world.post(by=bob.user, parent=answered)
    monologue = world.post(by=ada.user)
    world.post(by=ada.user, parent=world.post(by=ada.user, parent=monologue))
    on_bobs = world.post(by=bob.user)
    world.post(by=ada.user, parent=on_bobs)
    leave(ada)
    assert ids(api.get("/post/").json()) == [on_bobs.id]
    assert len(tables(engine)["post"]) == 3
    assert api.get(f"/post/{answer.id}/thread/").json()["ancestors"] == [tombstone(answered, replies=1)]
    assert api.get(f"/post/{on_bobs.id}/").json()["reply_count"] == 0
    for gone in (alone, monologue):
        assert problem(api.get(f"/post/{gone.id}/thread/")) == (404, "post-not-found")
    recount(engine)


def test_leaving_takes_likes_follows_and_sessions_along(
    api: Api, ada: Someone, bob: Someone, world: World, engine: Engine
) -> None:
    post = world.post(by=bob.user)
    eve = world.user("eve")
    for liker in (ada.user, eve):
        world.like(liker, post)
    for who, whom in ((ada.user, bob.user), (bob.user, ada.user), (eve, ada.user), (eve, bob.user)):
        world.follow(who, whom)
    leave(ada)
    assert api.get(f"/post/{post.id}/").json()["like_count"] == 1
    assert [user["username"] for user in api.get(f"/post/{post.id}/likes/").json()] == ["eve"]
    profiles = [api.get(f"/user/{name}/").json() for name in ("bob", "eve")]
    assert [(user["follower_count"], user["following_count"]) for user in profiles] == [(1, 0), (0, 1)]
    assert [user["username"] for user in api.get("/user/bob/followers/").json()] == ["eve"]
    assert len(tables(engine)["session"]) == 1
    assert problem(ada.get("/user/me/")) == (401, "session-ended")
    assert problem(api.get("/user/ada/")) == (404, "user-not-found")
    assert problem(api.get("/post/user/ada/")) == (404, "user-not-found")
    recount(engine)


def test_the_last_to_leave_a_thread_takes_it_along(ada: Someone, bob: Someone, world: World, engine: Engine) -> None:
    post = world.post(by=ada.user)
    for turn in range(4):
        post = world.post(by=(bob if turn % 2 else ada).user, parent=post)
    leave(ada)
    assert len(tables(engine)["post"]) == 5
    leave(bob)
    assert [name for name, rows in tables(engine).items() if rows] == []
