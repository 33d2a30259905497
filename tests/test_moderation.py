"""Moderation: who may suspend, let back, give roles and delete, and who may not."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.api import Api, Signed, problem
from tests.factories import World
from tests.people import Someone
from tests.tables import unchanged

SPAM = {"reason": "Spam."}


class Cast:
    """One of each role, and two users."""

    def __init__(self, api: Api, world: World):
        self.world = world
        self.root, self.mod = (self.with_role(api, role) for role in ("admin", "moderator"))
        self.other_mod = self.with_role(api, "moderator", "mod2")
        self.ada, self.bob = (Someone(api, world, name) for name in ("ada", "bob"))

    def with_role(self, api: Api, role: str, username: str | None = None) -> Someone:
        somebody = Someone(api, self.world, username or role)
        with self.world.session.begin():
            self.world.session.execute(
                text('UPDATE "user" SET role = :role WHERE id = :id'), {"role": role, "id": somebody.user.id}
            )
        return somebody


@pytest.fixture
def cast(api: Api, world: World) -> Cast:
    return Cast(api, world)


def suspend(by: Signed, username: str) -> Any:
    return by.put(f"/user/{username}/suspension/", json=SPAM)


def standing(by: Signed, username: str) -> tuple[str, bool]:
    found = by.get(f"/user/{username}/standing/").json()
    return found["role"], found["suspended_at"] is not None


def test_a_moderator_suspends_a_user_and_lets_them_back(cast: Cast) -> None:
    response = suspend(cast.mod, "ADA")
    assert response.status_code == 200
    found = response.json()
    assert (found["username"], found["role"], found["suspended_reason"]) == ("ada", "user", "Spam.")
    again = cast.mod.put("/user/ada/suspension/", json={"reason": "More spam."}).json()
    assert again == {**found, "suspended_reason": "More spam."}
    assert cast.root.get("/user/ada/standing/").json() == again
    back = cast.mod.delete("/user/ada/suspension/")
    assert (back.status_code, back.json()["suspended_at"], back.json()["suspended_reason"]) == (200, None, None)


def test_whoever_is_no_moderator_may_do_nothing_of_it(api: Api, cast: Cast, engine: Engine) -> None:
    cast.world.post(by=cast.bob.user)
    with unchanged(engine):
        for username in ("bob", "ada", "admin", "nobody"):
            assert problem(suspend(cast.ada, username)) == (403, "not-allowed"), username
            assert problem(cast.ada.delete(f"/user/{username}/suspension/")) == (403, "not-allowed"), username
            assert problem(cast.ada.put(f"/user/{username}/role/", json={"role": "admin"})) == (403, "not-allowed")
            assert problem(cast.ada.get(f"/user/{username}/standing/")) == (403, "not-allowed"), username
        assert problem(cast.ada.delete("/post/1/by-moderator/")) == (403, "not-allowed")
        assert problem(cast.ada.delete("/post/99/by-moderator/")) == (403, "not-allowed")
        assert problem(suspend(api.as_("forged"), "bob")) == (401, "invalid-token")
        assert problem(api.put("/user/bob/suspension/", json=SPAM)) == (401, "not-signed-in")


def test_a_moderator_has_no_say_over_moderators_and_admins(cast: Cast, engine: Engine) -> None:
    with unchanged(engine):
        for username in ("mod2", "admin", "moderator"):
            assert problem(suspend(cast.mod, username)) == (403, "not-allowed"), username
            assert problem(cast.mod.delete(f"/user/{username}/suspension/")) == (403, "not-allowed"), username
            for role in ("user", "admin"):
                answer = cast.mod.put(f"/user/{username}/role/", json={"role": role})
                assert problem(answer) == (403, "not-allowed"), username
        assert problem(cast.mod.put("/user/ada/role/", json={"role": "moderator"})) == (403, "not-allowed")


def test_an_admin_has_a_say_over_all_but_themselves(cast: Cast, engine: Engine) -> None:
    assert suspend(cast.root, "moderator").status_code == 200
    assert problem(cast.mod.get("/user/me/")) == (401, "session-ended")
    with unchanged(engine):
        assert problem(suspend(cast.root, "admin")) == (403, "not-allowed")


def test_an_admin_gives_roles(cast: Cast) -> None:
    for role in ("moderator", "admin", "user"):
        assert cast.root.put("/user/ada/role/", json={"role": role}).json()["role"] == role
        assert standing(cast.root, "ada") == (role, False)


def test_the_last_admin_stays_one(cast: Cast, engine: Engine) -> None:
    with unchanged(engine):
        assert problem(cast.root.put("/user/admin/role/", json={"role": "user"})) == (409, "last-admin")
    assert cast.root.put("/user/ada/role/", json={"role": "admin"}).status_code == 200
    assert cast.root.put("/user/admin/role/", json={"role": "user"}).status_code == 200
    assert problem(cast.root.get("/user/ada/standing/")) == (403, "not-allowed")


def test_a_suspended_admin_is_not_counted_as_one(cast: Cast) -> None:
    cast.root.put("/user/ada/role/", json={"role": "admin"})
    assert suspend(cast.root, "ada").status_code == 200
    assert problem(cast.root.put("/user/admin/role/", json={"role": "user"})) == (409, "last-admin")


def test_whom_there_is_not_is_not_found(cast: Cast, engine: Engine) -> None:
    with unchanged(engine):
        assert problem(suspend(cast.mod, "nobody")) == (404, "user-not-found")
        assert problem(cast.mod.delete("/user/nobody/suspension/")) == (404, "user-not-found")
        assert problem(cast.root.put("/user/nobody/role/", json={"role": "user"})) == (404, "user-not-found")
        assert problem(cast.mod.get("/user/nobody/standing/")) == (404, "user-not-found")
        assert problem(cast.mod.delete("/post/99/by-moderator/")) == (404, "post-not-found")


REASONS: list[Any] = [{}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 501}, {"reason": None}, {"reason": "\0"}]


@pytest.mark.parametrize("body", REASONS)
def test_a_suspension_has_a_reason(cast: Cast, engine: Engine, body: Any) -> None:
    with unchanged(engine):
        assert problem(cast.mod.put("/user/ada/suspension/", json=body)) == (422, "invalid-request")


def test_a_role_is_one_of_three(cast: Cast, engine: Engine) -> None:
    with unchanged(engine):
        for role in ("", "Admin", "owner", None, 1):
            assert problem(cast.root.put("/user/ada/role/", json={"role": role})) == (422, "invalid-request")


def test_a_moderator_deletes_any_post_by_the_same_rules(api: Api, cast: Cast) -> None:
    post = cast.world.post(by=cast.ada.user)
    reply = cast.world.post(by=cast.bob.user, parent=post)
    assert cast.mod.delete(f"/post/{post.id}/by-moderator/").status_code == 204
    thread = api.get(f"/post/{reply.id}/thread/").json()
    assert [(one["deleted"], one["text"], one["user"]) for one in thread["ancestors"]] == [(True, "", None)]
    assert problem(cast.mod.delete(f"/post/{post.id}/by-moderator/")) == (404, "post-not-found")
    assert cast.mod.delete(f"/post/{reply.id}/by-moderator/").status_code == 204
    assert problem(api.get(f"/post/{post.id}/thread/")) == (404, "post-not-found")


def test_a_moderator_deletes_what_is_hidden(cast: Cast, engine: Engine) -> None:
    post = cast.world.post(by=cast.ada.user)
    suspend(cast.mod, "ada")
    assert cast.mod.delete(f"/post/{post.id}/by-moderator/").status_code == 204
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT id FROM post")).all() == []


def test_only_a_token_for_it_moderates(api: Api, cast: Cast, engine: Engine) -> None:
    """Whatever the role of its owner; and whatever the token is for, the role decides."""
    for_all_else = api.as_(cast.world.personal_token(cast.mod.user, ["read", "write"]))
    of_a_user = api.as_(cast.world.personal_token(cast.ada.user))
    with unchanged(engine):
        assert problem(suspend(for_all_else, "bob")) == (403, "insufficient-scope")
        assert problem(for_all_else.delete("/post/1/")) == (404, "post-not-found")
        assert problem(suspend(of_a_user, "bob")) == (403, "not-allowed")
    assert suspend(api.as_(cast.world.personal_token(cast.mod.user, ["admin"])), "bob").status_code == 200


def test_an_authors_own_delete_is_for_authors_alone(cast: Cast, engine: Engine) -> None:
    post = cast.world.post(by=cast.ada.user)
    with unchanged(engine):
        assert problem(cast.root.delete(f"/post/{post.id}/")) == (403, "not-the-author")


def test_a_role_that_is_taken_away_counts_at_once(cast: Cast) -> None:
    cast.root.put("/user/moderator/role/", json={"role": "user"})
    assert problem(suspend(cast.mod, "ada")) == (403, "not-allowed")
