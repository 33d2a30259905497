"""How long things last, and what else is told by a number or a name in the settings: as they say, not as by default."""

from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from pamps.db import drivers
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.watched import until

ADA = {"username": "ada", "password": PASSWORD}
CHANGES: dict[str, dict[str, Any]] = {
    "security": {
        "access_token_expire_minutes": 7,
        "refresh_token_expire_minutes": 11,
        "issuer": "another",
        "argon2_memory": 16,
        "argon2_lanes": 2,
    },
    "guesses": {"known_for_days": 3},
    "mail": {"verification_expire_minutes": 13, "password_reset_expire_minutes": 17, "resend_minutes": 5},
    "server": {"idempotency_hours": 6},
}


# A database of its own: on the one that other tests use, a service with other settings looks after mail too.


@pytest.fixture(scope="module")
def engine(migrated_database: Callable[[], str]) -> Iterator[Engine]:
    engine = drivers.engine(migrated_database())
    yield engine
    engine.dispose()


def on(engine: Engine, settings: Settings, changes: dict[str, dict[str, Any]]) -> Api:
    """The service with other settings of some sections."""
    db = {"db": {"uri": engine.url.render_as_string(hide_password=False)}}
    sections = {name: getattr(settings, name).model_copy(update=values) for name, values in (changes | db).items()}
    return Api(create_app(settings.model_copy(update=sections)))


@pytest.fixture
def api(settings: Settings, engine: Engine, empty: None) -> Iterator[Api]:
    with on(engine, settings, CHANGES) as api:
        yield api


def minutes(engine: Engine, what: str) -> int:
    """How many minutes off a time is."""
    with engine.connect() as connection:
        found: float = connection.scalars(text(f"SELECT extract(epoch FROM {what} - now()) / 60.0")).one()
    return round(found)


def test_a_session_and_its_tokens(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    found = api.post("/token", data=ADA).json()
    claims = jwt.decode(found["access_token"], options={"verify_signature": False})
    assert (found["expires_in"], claims["exp"] - claims["iat"], claims["iss"]) == (7 * 60, 7 * 60, "another")
    expires = "(SELECT expires_at FROM session)"
    assert minutes(engine, expires) == 11
    with engine.begin() as connection:
        connection.execute(text("UPDATE session SET expires_at = now() + interval '1 minute'"))
    assert api.post("/refresh_token", json={"refresh_token": found["refresh_token"]}).status_code == 200
    assert minutes(engine, expires) == 11


def test_who_issues_tokens(api: Api, world: World, engine: Engine, settings: Settings) -> None:
    """A token of another issuer is not ours, though it is signed by the same key."""
    world.user("ada")
    ours = api.post("/token", data=ADA).json()["access_token"]
    assert api.as_(ours).get("/user/me/").status_code == 200
    with on(engine, settings, {}) as other:
        theirs = other.post("/token", data=ADA).json()["access_token"]
        assert problem(other.as_(ours).get("/user/me/")) == (401, "invalid-token")
    assert problem(api.as_(theirs).get("/user/me/")) == (401, "invalid-token")


def test_what_a_hash_costs(api: Api, engine: Engine) -> None:
    assert api.post("/user/", json={**ADA, "email": "ada@example.com"}).status_code == 201
    with engine.connect() as connection:
        assert "$m=16,t=1,p=2$" in connection.scalars(text('SELECT password_hash FROM "user"')).one()


def test_for_how_long_a_home_is_known(api: Api, world: World, engine: Engine) -> None:
    for name in ("ada", "bob"):
        world.user(name)
    assert api.post("/token", data=ADA).status_code == 200
    for days, known in ((2, 1), (4, 0)):
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE device SET last_seen = now() - interval '{days} days' WHERE user_id = 1"))
        assert api.post("/token", data={**ADA, "username": "bob"}).status_code == 200  # which sweeps
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM device WHERE user_id = 1")) == known


def test_links(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    signed_in = api.as_(api.post("/token", data=ADA).json()["access_token"])
    assert signed_in.post("/user/me/email/verification/").status_code == 202
    assert minutes(engine, "(SELECT expires_at FROM link)") == 13
    assert minutes(engine, "(SELECT spaced_until FROM link)") == 5
    assert api.post("/password_reset", json={"email": "ada@example.com"}).status_code == 202
    reset = "(SELECT {} FROM link WHERE kind = 'password_reset')"

    def made() -> bool:
        with engine.connect() as connection:
            return bool(connection.scalar(text(reset.format("count(*)"))))

    until(made)  # by whoever looks after mail
    assert minutes(engine, reset.format("expires_at")) == 17
    assert minutes(engine, reset.format("spaced_until")) == 5


def test_an_answer_that_may_be_asked_for_again(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    signed_in = api.as_(api.post("/token", data=ADA).json()["access_token"])
    found = []
    for hours in (0, 5, 7):
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE idempotency_key SET created_at = now() - interval '{hours} hours'"))
        answer = signed_in.post("/post/", json={"text": "Hello!"}, headers={"Idempotency-Key": "a"})
        found.append(answer.json()["id"])
    assert found == [1, 1, 2]
