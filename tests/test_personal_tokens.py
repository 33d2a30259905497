"""Personal tokens: made, shown once, listed, ended; and when they were last used. What they may do: test_scopes.py."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from pamps import uses
from pamps.app import create_app
from pamps.config import Settings
from pamps.db.database import Database
from pamps.tokens import read_personal_token
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.people import Someone
from tests.tables import tables, unchanged

TOKENS = "/user/me/tokens/"


@pytest.fixture
def ada(api: Api, world: World) -> Someone:
    return Someone(api, world, "ada")


def make(somebody: Someone, name: str = "script", scopes: tuple[str, ...] = ("read",), **more: Any) -> dict[str, Any]:
    response = somebody.post(TOKENS, json={"name": name, "scopes": scopes, **more})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def instants(made: dict[str, Any], *names: str) -> list[datetime]:
    return [datetime.fromisoformat(made[name]) for name in names]


def test_a_token_is_made_and_works(api: Api, ada: Someone) -> None:
    response = ada.post(TOKENS, json={"name": "script", "scopes": ["write", "read", "read"]})
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    made = response.json()
    assert (made["id"], made["name"], made["last_used_at"]) == (2, "script", None)
    created, expires = instants(made, "created_at", "expires_at")
    assert expires - created == timedelta(days=90)
    as_token = api.as_(made["token"])
    assert as_token.get("/user/me/").json()["username"] == "ada"
    assert as_token.post("/post/", json={"text": "By a program."}).json()["user_id"] == ada.user.id


def test_it_is_written_like_every_other_answer(ada: Someone) -> None:
    response = ada.post(TOKENS, json={"name": "olá", "scopes": ["read"]})
    assert '"name":"olá","scopes":["read"]' in response.text


def test_its_text_is_shown_once_and_not_kept(ada: Someone, engine: Engine) -> None:
    made = make(ada)
    secret = made.pop("token").split("_", 4)[4]
    assert ada.get(TOKENS).json() == [made]
    assert secret not in str(tables(engine))
    with engine.connect() as connection:
        kept = connection.scalar(text("SELECT token_hash FROM session WHERE name = 'script'"))
    assert bytes(kept or b"") == read_personal_token(f"pamps_1_2_r_{secret}").proof


@pytest.mark.parametrize(
    ("asked", "letters"), [(["read"], "r"), (["admin", "read"], "ra"), (["admin", "write", "read"], "rwa")]
)
def test_a_token_is_for_what_it_was_asked_for(ada: Someone, asked: list[str], letters: str) -> None:
    made = make(ada, scopes=tuple(asked))
    assert made["token"].startswith(f"pamps_1_2_{letters}_")
    assert made["scopes"] == [scope for scope in ("read", "write", "admin") if scope in asked]


def test_it_lasts_for_as_many_days_as_it_was_made_for(api: Api, ada: Someone, engine: Engine) -> None:
    for number, days in enumerate((1, 366, 7.0)):
        made = make(ada, f"token {number}", expires_in_days=days)
        created, expires = instants(made, "created_at", "expires_at")
        assert expires - created == timedelta(days=days)
    with engine.begin() as connection:
        connection.execute(text("UPDATE session SET expires_at = now() WHERE name IS NOT NULL"))
    assert problem(api.as_(made["token"]).get("/user/me/")) == (401, "session-ended")
    assert ada.get(TOKENS).json() == []


REFUSED: list[dict[str, Any]] = [
    {},
    {"name": "x"},
    {"scopes": ["read"]},
    {"name": "", "scopes": ["read"]},
    {"name": " ", "scopes": ["read"]},
    {"name": "x" * 101, "scopes": ["read"]},
    {"name": "x", "scopes": []},
    {"name": "x", "scopes": "read"},
    {"name": "x", "scopes": ["Read"]},
    {"name": "x", "scopes": ["everything"]},
    {"name": "x", "scopes": ["read"] * 4},
    {"name": "x", "scopes": ["read"], "expires_in_days": 0},
    {"name": "x", "scopes": ["read"], "expires_in_days": 367},
    {"name": "x", "scopes": ["read"], "expires_in_days": None},
    {"name": "x", "scopes": ["read"], "expires_in_days": "90"},
    {"name": "x", "scopes": ["read"], "token": "pamps_1_1_r_x"},
]


@pytest.mark.parametrize("body", REFUSED)
def test_a_token_needs_a_name_scopes_and_an_end(ada: Someone, engine: Engine, body: dict[str, Any]) -> None:
    with unchanged(engine):
        assert problem(ada.post(TOKENS, json=body)) == (422, "invalid-request")


def test_no_two_of_mine_have_one_name(api: Api, world: World, ada: Someone, engine: Engine) -> None:
    make(ada)
    with unchanged(engine):
        assert problem(ada.post(TOKENS, json={"name": "script", "scopes": ["read"]})) == (409, "token-name-taken")
    make(Someone(api, world, "bob"))
    make(ada, "Script")


def test_the_name_of_one_that_has_expired_is_free(ada: Someone, world: World) -> None:
    world.personal_token(ada.user, name="script", expires_in=timedelta(seconds=-1))
    assert make(ada)["id"] == 3
    assert [one["id"] for one in ada.get(TOKENS).json()] == [3]


def test_an_account_has_a_hundred_at_most(ada: Someone, world: World, engine: Engine) -> None:
    world.personal_tokens(ada.user, 99)
    world.personal_token(ada.user, expires_in=timedelta(seconds=-1))
    made = make(ada, "in place of the one that has expired")
    with unchanged(engine):
        answer = ada.post(TOKENS, json={"name": "one more", "scopes": ["read"]})
        assert problem(answer) == (409, "too-many-tokens")
    assert ada.delete(f"{TOKENS}{made['id']}/").status_code == 204
    make(ada, "one more")


def test_my_tokens_are_listed_in_pages_and_nobody_elses(api: Api, world: World, ada: Someone) -> None:
    make(Someone(api, world, "bob"))
    ids = [make(ada, f"token {number}")["id"] for number in range(5)][::-1]
    first = ada.get(f"{TOKENS}?limit=3")
    second = ada.get(first.links["next"]["url"])
    assert [one["id"] for one in first.json() + second.json()] == ids
    assert "link" not in second.headers


def test_ending_a_token_ends_it_at_once_and_no_other(api: Api, ada: Someone) -> None:
    one, other = make(ada, "one"), make(ada, "other")
    response = ada.delete(f"{TOKENS}{one['id']}/")
    assert (response.status_code, response.content) == (204, b"")
    assert problem(api.as_(one["token"]).get("/user/me/")) == (401, "session-ended")
    assert api.as_(other["token"]).get("/user/me/").status_code == 200
    assert problem(ada.delete(f"{TOKENS}{one['id']}/")) == (404, "token-not-found")


def test_a_token_of_somebody_else_is_not_there(api: Api, world: World, ada: Someone, engine: Engine) -> None:
    theirs = make(Someone(api, world, "bob"))
    with unchanged(engine):
        assert problem(ada.delete(f"{TOKENS}{theirs['id']}/")) == (404, "token-not-found")
        assert problem(ada.delete(f"{TOKENS}99/")) == (404, "token-not-found")
        assert problem(ada.delete(f"{TOKENS}0/")) == (422, "invalid-request")


def test_sign_ins_and_tokens_are_not_taken_for_one_another(api: Api, ada: Someone, engine: Engine) -> None:
    made = make(ada)
    assert [one["id"] for one in ada.get("/user/me/sessions/").json()] == [1]
    with unchanged(engine):
        assert problem(ada.delete(f"/user/me/sessions/{made['id']}/")) == (404, "session-not-found")
        assert problem(ada.delete(f"{TOKENS}1/")) == (404, "token-not-found")
        assert problem(api.post("/refresh_token", json={"refresh_token": made["token"]})) == (401, "invalid-token")


@pytest.mark.parametrize("form", ["json", "data"])
def test_a_token_can_be_revoked_by_whoever_has_it(api: Api, ada: Someone, engine: Engine, form: str) -> None:
    made = make(ada)
    body: dict[str, Any] = {form: {"token": made["token"][:-1] + ("A" if made["token"][-1] != "A" else "B")}}
    with unchanged(engine):  # all but the last character is not enough
        assert api.post("/revoke_token", **body).status_code == 200
    body = {form: {"token": made["token"]}}
    assert api.post("/revoke_token", **body).status_code == 200
    assert ada.get(TOKENS).json() == []
    assert problem(api.as_(made["token"]).get("/user/me/")) == (401, "session-ended")
    assert ada.get("/user/me/").status_code == 200


def test_a_new_password_ends_every_token(api: Api, ada: Someone) -> None:
    made = make(ada)
    change = {"current_password": PASSWORD, "new_password": "another password"}
    assert ada.put("/user/me/password/", json=change).status_code == 204
    assert problem(api.as_(made["token"]).get("/user/me/")) == (401, "session-ended")
    assert ada.get(TOKENS).json() == []


# When they were last used.


def test_its_use_is_written_when_the_service_ends(settings: Settings, world: World, engine: Engine) -> None:
    world.user("ada")
    with Api(create_app(settings)) as api:
        signed_in = api.post("/token", data={"username": "ada", "password": PASSWORD}).json()["access_token"]
        made = api.as_(signed_in).post(TOKENS, json={"name": "script", "scopes": ["read"]}).json()
        assert api.as_(signed_in).get(TOKENS).json()[0]["last_used_at"] is None
        before = datetime.now(UTC)
        assert api.as_(made["token"]).get("/post/").status_code == 200
        after = datetime.now(UTC)
        assert api.as_(signed_in).get(TOKENS).json()[0]["last_used_at"] is None
    with Api(create_app(settings)) as api:
        (listed,) = api.as_(signed_in).get(TOKENS).json()
        (used,) = instants(listed, "last_used_at")
        assert before <= used <= after


def test_its_use_is_written_now_and_then(
    settings: Settings, world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "BETWEEN_WRITES", 0.01)
    ada = world.user("ada")
    token, (signed_in, _) = world.personal_token(ada), world.sign_in(ada)
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    with Api(create_app(settings)) as api:
        assert api.as_(token).get("/post/").status_code == 200
        while api.as_(signed_in).get(TOKENS).json()[0]["last_used_at"] is None:
            assert datetime.now(UTC) < deadline


def test_only_a_use_that_was_one_is_noted(api: Api, world: World, ada: Someone) -> None:
    database: Database = api.application.state.database
    database.used.clear()
    token = world.personal_token(ada.user, ["read"])
    forged = f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}"
    assert api.as_(forged).get("/user/me/").status_code == 401
    assert api.as_(token).post("/post/", json={"text": "x"}).status_code == 403
    assert ada.get("/user/me/").status_code == 200
    assert database.used == {}
    assert api.as_(token).get("/post/99/").status_code == 404
    assert database.used.keys() == {2}


def test_what_cannot_be_written_stays_noted(settings: Settings, world: World, engine: Engine) -> None:
    ada = world.user("ada")
    world.personal_token(ada)

    async def written(away: Settings) -> dict[int, float]:
        nowhere, here = Database(away.db.uri, away.db), Database(settings.db.uri, settings.db)
        nowhere.used = {1: 1_700_000_000.0}
        await uses.write(nowhere)
        left = dict(nowhere.used)
        # An earlier use than one that is known, and one of a token that has gone, change nothing.
        here.used = {1: 1_900_000_000.0, 99: 1.0}
        await uses.write(here)
        here.used = dict(left)
        await uses.write(here)
        assert here.used == {}
        await here.close()
        return left

    db = settings.db.model_copy(update={"uri": "postgresql://pamps:secret@127.0.0.1:1/pamps"})
    assert asyncio.run(written(settings.model_copy(update={"db": db}))) == {1: 1_700_000_000.0}
    with engine.connect() as connection:
        used = connection.scalar(text("SELECT extract(epoch FROM last_used_at)::float FROM session"))
    assert used == 1_900_000_000.0
