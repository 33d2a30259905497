"""A session that is over: whatever a request with its token would have done, it is 401 and nothing is written."""

from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, text

from tests.api import Api, Signed, problem
from tests.document import OPERATIONS, Operation, name
from tests.factories import PASSWORD, World, recovery_code
from tests.second_factor import Clock, code
from tests.tables import tables

pytest_plugins = "tests.second_factor_fixtures"

BOTH = {"password": PASSWORD, "code": recovery_code(0)}


class Write(NamedTuple):
    """What a request has to say so that it changes something; `factor` is whether ada's second factor is on."""

    id: int = 1
    json: Any = None
    factor: bool | None = None


# Post 1 and 4 are bob's, 2 ada's; ada likes 4, follows bob, and not carol, who is user 3, or eve, who is suspended.
# Session 1 is the one that asks, 2 another one of ada's, 3 a personal token of hers.
WRITES = {
    ("POST", "/post/"): Write(json={"text": "Hello", "parent_id": 1}),
    ("PATCH", "/post/{id}/"): Write(2, {"text": "Changed"}),
    ("DELETE", "/post/{id}/"): Write(2),
    ("POST", "/post/{id}/like/"): Write(1),
    ("DELETE", "/post/{id}/like/"): Write(4),
    ("DELETE", "/post/{id}/by-moderator/"): Write(1),
    ("PATCH", "/user/me/"): Write(json={"name": "Another"}),
    ("DELETE", "/user/me/"): Write(json={"password": PASSWORD}),
    ("PUT", "/user/me/password/"): Write(json={"current_password": PASSWORD, "new_password": "a better password"}),
    ("DELETE", "/user/me/sessions/{id}/"): Write(2),
    ("POST", "/user/follow/{id}/"): Write(3),
    ("DELETE", "/user/follow/{id}/"): Write(2),
    ("POST", "/user/me/tokens/"): Write(json={"name": "Script", "scopes": ["read"]}),
    ("DELETE", "/user/me/tokens/{id}/"): Write(3),
    ("POST", "/user/me/two-factor/"): Write(json={"password": PASSWORD}),
    ("POST", "/user/me/two-factor/confirm/"): Write(factor=False),
    ("POST", "/user/me/two-factor/recovery-codes/"): Write(json=BOTH, factor=True),
    ("DELETE", "/user/me/two-factor/"): Write(json=BOTH, factor=True),
    ("POST", "/user/me/email/verification/"): Write(),
    ("PUT", "/user/{username}/suspension/"): Write(json={"reason": "Spam"}),
    ("DELETE", "/user/{username}/suspension/"): Write(),
    ("PUT", "/user/{username}/role/"): Write(json={"role": "moderator"}),
}
SIGNED_IN = [one for one in OPERATIONS if one.method != "GET" and {} not in one.described.get("security", [{}])]


def asked(api: Api, world: World, operation: Operation) -> Any:
    """A request that changes something, ready to be sent: `request()`."""
    ada, bob = world.user("ada", role="admin"), world.user("bob")
    world.user("carol")
    world.user("eve", suspended_at=text("now()"), suspended_reason="Spam")
    world.user("root", role="admin")  # so that ada may leave
    root = world.post(by=bob)
    world.post(by=ada)
    world.post(by=bob, parent=root)
    world.like(ada, world.post(by=bob))
    world.follow(ada, bob)
    as_ada: Signed = api.as_(world.sign_in(ada)[0])
    world.sign_in(ada)
    world.personal_token(ada)
    world.personal_token(ada, expires_in=timedelta(days=-1))  # which goes when another one is made
    write = WRITES[operation]
    body = write.json
    if write.factor is not None:
        secret = world.second_factor(ada, **({} if write.factor else {"enabled_at": None}))
        body = body or {"code": code(secret)}
    username = "eve" if operation.method == "DELETE" else "bob"
    url = operation.path.format(id=write.id, username=username)
    return lambda: as_ada.request(operation.method, url, json=body)


def test_every_write_of_the_signed_in_is_tested_here() -> None:
    assert set(SIGNED_IN) == set(WRITES)


@pytest.mark.parametrize("operation", SIGNED_IN, ids=name)
def test_it_writes_nothing(api: Api, world: World, engine: Engine, clock: Clock, operation: Operation) -> None:
    request = asked(api, world, operation)
    lasts = "UPDATE session SET expires_at = clock_timestamp() + interval '{}' WHERE id = 1"
    with engine.begin() as connection:
        connection.execute(text(lasts.format("0")))
    before = tables(engine)
    assert problem(request()) == (401, "session-ended")
    assert tables(engine) == before
    with engine.begin() as connection:
        connection.execute(text(lasts.format("1 day")))
    assert request().status_code < 300, "it would have been refused anyway"
    assert tables(engine) != before
