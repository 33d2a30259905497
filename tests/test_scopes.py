"""Scopes: what a personal token may do, on every route that there is, and what none may."""

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import Engine

from pamps.auth import moderator, owner, viewer, visitor
from pamps.models import User
from pamps.models.session import SCOPES
from pamps.routing.route import Route, called
from tests.api import Api, problem
from tests.factories import World
from tests.forge import segment
from tests.tables import unchanged

OPERATIONS = 20  # at least; so that an empty list of routes doesn't pass
SOME = [some for count in (1, 2, 3) for some in combinations(SCOPES, count)]


@pytest.fixture
def ada(world: World) -> User:
    ada = world.user("ada")
    world.post(by=ada)
    return ada


def operations(api: Api, *asking: Any) -> Iterator[tuple[str, str]]:
    """The method and an address of every route that depends on one of these."""
    found = 0
    for route in api.application.routes:
        if isinstance(route, Route) and called(route.dependant) & {*asking}:
            found += 1
            for method in route.methods or ():
                yield method, re.sub(r"{(\w+)}", lambda part: "1" if part[1] == "id" else "ada", route.path)
    assert found


def refused(api: Api, token: str, method: str, path: str) -> tuple[int, str, str]:
    response = api.request(method, path, headers={"Authorization": f"Bearer {token}"})
    return *problem(response), response.headers.get("www-authenticate", "")


@pytest.mark.parametrize("scopes", SOME)
def test_every_route_takes_its_scope_and_no_other(
    api: Api, world: World, ada: User, engine: Engine, scopes: tuple[str, ...]
) -> None:
    token = world.personal_token(ada, scopes)
    asked = list(operations(api, visitor))
    assert len(asked) >= OPERATIONS
    with unchanged(engine):
        for method, path in asked:
            scope = "read" if method == "GET" else "write"
            challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            if scope not in scopes:
                assert refused(api, token, method, path) == (403, "insufficient-scope", challenge), (method, path)
            elif method == "GET":
                assert api.as_(token).get(path).status_code in (200, 404), path


def test_what_a_token_is_not_for_is_refused_before_it_is_read(
    api: Api, world: World, ada: User, engine: Engine
) -> None:
    """Whatever the body says; and HEAD is as GET."""
    reads, writes = world.personal_token(ada, ["read"]), world.personal_token(ada, ["write"])
    with unchanged(engine):
        for body in ({"text": "Hello!"}, {"text": ""}, {}):
            response = api.as_(reads).post("/post/", json=body)
            assert problem(response) == (403, "insufficient-scope"), body
            assert response.json()["detail"] == "The token is not for this: it lacks the scope write"
    assert api.as_(writes).request("HEAD", "/post/").status_code == 403
    assert api.as_(reads).request("HEAD", "/post/").status_code == 200


def test_a_token_for_it_reads_and_writes(api: Api, world: World, ada: User) -> None:
    assert api.as_(world.personal_token(ada, ["read"])).get("/user/me/").json()["username"] == "ada"
    posted = api.as_(world.personal_token(ada, ["write"])).post("/post/", json={"text": "Hello!"})
    assert (posted.status_code, posted.json()["user"]["username"]) == (201, "ada")


def test_the_account_itself_takes_a_sign_in(api: Api, world: World, ada: User, engine: Engine) -> None:
    token = world.personal_token(ada)
    asked = set(operations(api, owner))
    assert {("PUT", "/user/me/password/"), ("DELETE", "/user/me/"), ("GET", "/user/me/sessions/")} <= asked
    with unchanged(engine):
        for method, path in asked:
            assert refused(api, token, method, path) == (403, "sign-in-needed", ""), (method, path)


def test_what_one_signs_in_with_takes_a_sign_in(api: Api, world: World, ada: User, engine: Engine) -> None:
    as_token = api.as_(world.personal_token(ada))
    with unchanged(engine):
        for change in ({"email": "eve@example.com"}, {"username": "eve"}, {"email": "eve@example.com", "bio": "x"}):
            assert problem(as_token.patch("/user/me/", json=change)) == (403, "sign-in-needed")
    assert as_token.patch("/user/me/", json={"bio": "Poetry."}).json()["bio"] == "Poetry."


def test_who_moderates_has_the_scope_for_it(api: Api, world: World, ada: User) -> None:
    for method, path in [*operations(api, moderator)] if any_moderate(api) else []:
        token = world.personal_token(ada, ["read", "write"])
        challenge = 'Bearer error="insufficient_scope", scope="admin"'
        assert refused(api, token, method, path) == (403, "insufficient-scope", challenge), (method, path)


def any_moderate(api: Api) -> bool:
    return any(isinstance(route, Route) and moderator in called(route.dependant) for route in api.application.routes)


def test_every_route_that_reads_a_token_checks_it(api: Api) -> None:
    """By one of four functions, which these tests are about; a fifth would have to be among them."""
    for route in api.application.routes:
        if isinstance(route, Route):
            names = {call.__name__ for call in called(route.dependant) if call.__module__ == "pamps.auth"}
            assert names <= {call.__name__ for call in (visitor, viewer, owner, moderator)}
            asks_for_token = any("security" in type(call).__module__ for call in called(route.dependant))
            assert asks_for_token is bool(names), route.path


def test_scopes_that_a_token_was_not_made_for_break_it(api: Api, world: World, ada: User, engine: Engine) -> None:
    token = world.personal_token(ada, ["read"])
    assert api.as_(token).get("/user/me/").status_code == 200
    head, user, session, letters, secret = token.split("_", 4)
    assert (head, user, session, letters, len(secret)) == ("pamps", "1", "1", "r", 43)
    with unchanged(engine):
        for forged in ("rw", "rwa", "w", "a"):
            text = f"pamps_1_1_{forged}_{secret}"
            if "r" in forged:
                assert problem(api.as_(text).get("/user/me/")) == (401, "session-ended"), forged
            if "w" in forged:
                answer = api.as_(text).post("/post/", json={"text": "x"})
                assert problem(answer) == (401, "session-ended"), forged


def test_only_one_text_is_a_token(api: Api, world: World, ada: User, engine: Engine) -> None:
    secret = world.personal_token(ada).split("_", 4)[4]
    rest = ("", "_", "x" * 43, secret[:-1], f"{secret}x", f"{secret}=", secret[::-1], secret.swapcase())
    texts = [f"pamps_1_1_rwa_{other}" for other in rest]
    texts += [f"pamps_{ids}_rwa_{secret}" for ids in ("01_1", "1_01", "+1_1", "1_", "_1", "1", "0_1", "1_-1")]
    texts += [f"pamps_1_1_{letters}_{secret}" for letters in ("", "x", "rr", "wr", "ra w", "RWA", "read", "rwax")]
    texts += [f"pamps_{'9' * 16}_1_r_{secret}", f"pamps_1_{'9' * 17}_r_{secret}", f"PAMPS_1_1_rwa_{secret}"]
    texts += [
        "pamps_",
        "pamps_1_1_rwa",
        f" pamps_1_1_rwa_{secret} x",
        f"pamps_1_1_rwa_{secret}\x00",
        segment(b"pamps_1"),
    ]
    with unchanged(engine):
        for text in texts:
            status, code = problem(api.as_(text).get("/user/me/"))
            assert (status, code) in {(401, "invalid-token"), (401, "session-ended")}, text


def test_a_personal_token_of_somebody_else_is_not_mine(api: Api, world: World, ada: User, engine: Engine) -> None:
    bob = world.user("bob")
    world.sign_in(ada)
    mine, theirs = world.personal_token(ada), world.personal_token(bob)
    ending = theirs.split("_", 3)[3]
    with unchanged(engine):
        for ids in ("1_1", "1_2", "1_3", "2_1", "2_2", "2_4"):
            assert problem(api.as_(f"pamps_{ids}_{ending}").get("/user/me/")) == (401, "session-ended"), ids
    assert api.as_(theirs).get("/user/me/").json()["username"] == "bob"
    assert api.as_(mine).get("/user/me/").json()["username"] == "ada"
