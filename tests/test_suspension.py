"""A suspended account: out, and not to be seen; and back as if nothing had been."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from pamps.models import Post
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.people import Someone
from tests.tables import tables, unchanged
from tests.test_counters import recount

SUSPEND = """UPDATE "user" SET suspended_at = now(), suspended_reason = 'Spam.' WHERE username = :who"""
LET_BACK = 'UPDATE "user" SET suspended_at = NULL, suspended_reason = NULL WHERE username = :who'


def suspend(engine: Engine, who: str, back: bool = False) -> None:
    with engine.begin() as connection:
        connection.execute(text(LET_BACK if back else SUSPEND), {"who": who})


class Scene:
    """ada wrote a post that bob replied to; eve replied to bob, likes both and follows everybody, as they do her."""

    def __init__(self, api: Api, world: World):
        self.api = api
        self.ada, self.bob, self.eve = (Someone(api, world, name) for name in ("ada", "bob", "eve"))
        self.root = world.post(by=self.ada.user, text="Root")
        self.reply: Post = world.post(by=self.eve.user, text="Reply", parent=self.root)
        self.answer = world.post(by=self.bob.user, text="Answer", parent=self.reply)
        self.leaf = world.post(by=self.eve.user, text="Leaf", parent=self.root)
        self.own = world.post(by=self.eve.user, text="Own")
        for post in (self.root, self.answer, self.own):
            world.like(self.eve.user, post)
            world.like(self.ada.user, post)
        for who in (self.ada, self.bob):
            world.follow(who.user, self.eve.user)
            world.follow(self.eve.user, who.user)

    def listed(self, path: str) -> list[Any]:
        found: list[Any] = self.ada.get(path).json()
        return [one.get("text", one.get("username")) for one in found]

    def everything(self) -> dict[str, Any]:
        """What ada sees, of all that there is."""
        names = [f"/user/{name}/{what}" for name in ("ada", "bob", "eve") for what in ("", "followers/", "following/")]
        posts = [f"/post/{number}/{what}" for number in range(1, 6) for what in ("", "replies/", "thread/", "likes/")]
        lists = [f"/post/{what}/{name}/" for what in ("user", "likes") for name in ("ada", "bob", "eve")]
        paths = ["/post/", "/user/", "/user/?q=e", "/user/timeline/", *names, *posts, *lists]
        return {path: self.ada.get(path).json() for path in paths}


@pytest.fixture
def scene(api: Api, world: World) -> Scene:
    return Scene(api, world)


def test_whoever_is_suspended_is_out_at_once(scene: Scene, world: World, engine: Engine) -> None:
    _, refresh_token = world.sign_in(scene.eve.user)
    token = scene.api.as_(world.personal_token(scene.eve.user))
    suspend(engine, "eve")
    assert problem(scene.eve.get("/post/")) == (401, "session-ended")
    assert problem(token.get("/post/")) == (401, "session-ended")
    refreshed = scene.api.post("/refresh_token", json={"refresh_token": refresh_token.text})
    assert problem(refreshed) == (401, "session-ended")
    assert [row for row in tables(engine)["session"] if '"user_id":3' in row] == []


def test_only_whoever_knows_the_password_is_told_why(scene: Scene, engine: Engine) -> None:
    suspend(engine, "eve")
    form = {"username": "eve", "password": PASSWORD}
    for login in ("eve", "EVE@example.com") * 6:  # a right password is no guess, however often
        response = scene.api.post("/token", data={**form, "username": login})
        assert problem(response) == (403, "account-suspended")
        assert response.json()["detail"] == "The account is suspended: Spam."
    assert problem(scene.api.post("/token", data={**form, "password": "a wrong one"})) == (401, "wrong-credentials")
    suspend(engine, "eve", back=True)
    assert scene.api.post("/token", data=form).status_code == 200


def test_nobody_sees_the_suspended_or_what_they_wrote(scene: Scene, engine: Engine) -> None:
    suspend(engine, "eve")
    assert scene.listed("/post/") == ["Root"]
    assert scene.listed("/user/") == ["bob", "ada"]
    assert (scene.listed("/user/?q=e"), scene.listed("/user/timeline/")) == ([], [])
    assert scene.listed(f"/post/{scene.root.id}/replies/") == []
    assert scene.ada.get(f"/post/{scene.root.id}/").json()["replies"] == []
    assert scene.listed(f"/post/{scene.root.id}/likes/") == ["ada"]
    assert (scene.listed("/user/ada/followers/"), scene.listed("/user/ada/following/")) == ([], [])
    assert scene.listed("/post/likes/ada/") == ["Answer", "Root"]
    for path in ("/user/eve/", "/user/eve/followers/", "/user/eve/following/", "/post/user/eve/", "/post/likes/eve/"):
        assert problem(scene.ada.get(path)) == (404, "user-not-found"), path
    for post in (scene.reply, scene.leaf, scene.own):
        for what in ("", "replies/", "likes/"):
            assert problem(scene.ada.get(f"/post/{post.id}/{what}")) == (404, "post-not-found"), what


def test_a_thread_shows_what_is_hidden_as_a_tombstone_where_something_is_under_it(scene: Scene, engine: Engine) -> None:
    suspend(engine, "eve")
    tombstone = {
        "text": "",
        "edited_at": None,
        "user_id": None,
        "user": None,
        "deleted": True,
        "like_count": 0,
        "reply_count": 1,
        "liked": False,
    }
    below = scene.ada.get(f"/post/{scene.root.id}/thread/").json()
    assert [one["text"] for one in below["descendants"]] == ["", "Answer"]
    above = scene.ada.get(f"/post/{scene.answer.id}/thread/").json()
    itself = scene.ada.get(f"/post/{scene.reply.id}/thread/").json()
    for shown in (below["descendants"][0], above["ancestors"][1], itself["post"]):
        assert {name: shown[name] for name in tombstone} == tombstone
    assert scene.api.get(f"/post/{scene.reply.id}/thread/").json()["post"]["liked"] is None
    assert problem(scene.ada.get(f"/post/{scene.leaf.id}/thread/")) == (404, "post-not-found")


def test_what_is_under_a_tombstone_under_what_is_hidden_stays(api: Api, world: World, engine: Engine) -> None:
    ada, eve = world.user("ada"), world.user("eve")
    hidden = world.post(by=eve, text="Hidden", parent=world.post(by=ada))
    deleted = world.post(by=ada, text="Deleted", parent=hidden)
    world.post(by=ada, text="Leaf", parent=deleted)
    with engine.begin() as connection:
        connection.execute(text("UPDATE post SET user_id = NULL WHERE text = 'Deleted'"))
    suspend(engine, "eve")
    assert [one["text"] for one in api.get("/post/1/thread/").json()["descendants"]] == ["", "", "Leaf"]


def test_nothing_can_be_done_with_what_is_hidden(scene: Scene, engine: Engine) -> None:
    suspend(engine, "eve")
    with unchanged(engine):
        own = f"/post/{scene.own.id}/"
        reply = {"text": "x", "parent_id": scene.own.id}
        assert problem(scene.ada.post("/post/", json=reply)) == (404, "parent-not-found")
        assert problem(scene.ada.post(f"{own}like/")) == (404, "post-not-found")
        assert problem(scene.ada.delete(f"{own}like/")) == (404, "post-not-found")
        assert problem(scene.ada.patch(own, json={"text": "x"})) == (404, "post-not-found")
        assert problem(scene.ada.delete(own)) == (404, "post-not-found")
        for who in ("3", "eve"):
            assert problem(scene.ada.post(f"/user/follow/{who}/")) == (404, "user-not-found")
            assert problem(scene.ada.delete(f"/user/follow/{who}/")) == (404, "user-not-found")


def test_whoever_is_let_back_is_back_with_everything(scene: Scene, engine: Engine) -> None:
    before = scene.everything()
    suspend(engine, "eve")
    assert scene.everything() != before
    recount(engine)
    suspend(engine, "eve", back=True)
    assert scene.everything() == before
    recount(engine)


def test_a_name_of_somebody_suspended_is_still_taken(scene: Scene, engine: Engine) -> None:
    suspend(engine, "eve")
    account = {"email": "new@example.com", "username": "EVE", "password": "a quite long one"}
    assert problem(scene.api.post("/user/", json=account)) == (409, "username-taken")


def test_a_suspended_account_can_be_deleted(scene: Scene, engine: Engine) -> None:
    suspend(engine, "eve")
    with engine.begin() as connection:
        connection.execute(text("""DELETE FROM "user" WHERE username = 'eve'"""))
        assert connection.scalars(text("SELECT id FROM post WHERE hidden")).all() == []
    recount(engine)
    assert [one["text"] for one in scene.ada.get("/post/1/thread/").json()["descendants"]] == ["", "Answer"]


def test_what_is_given_to_somebody_suspended_is_hidden(scene: Scene, engine: Engine) -> None:
    """Past the service, as a shell might."""
    suspend(engine, "eve")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO post (user_id, text) VALUES (3, 'x')"))
        connection.execute(text("UPDATE post SET user_id = 3 WHERE id = 1"))
        assert connection.scalars(text("SELECT id FROM post WHERE hidden ORDER BY id")).all() == [1, 2, 4, 5, 6]
        connection.execute(text("UPDATE post SET user_id = 1 WHERE user_id = 3"))
        assert connection.scalars(text("SELECT id FROM post WHERE hidden")).all() == []
