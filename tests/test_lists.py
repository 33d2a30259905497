"""What holds for every list: pages by Link, bounds of the limit, cursors."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from tests.api import Api, Signed, problem
from tests.document import READS, Operation
from tests.factories import World
from tests.pages import pages

LISTS = [one for one in READS if "limit" in one.parameters("query")]
DATED = {"/user/{username}/followers/", "/user/{username}/following/", "/post/{id}/likes/", "/post/likes/{username}/"}
COUNT = 7  # in every list
NO_LIMITS = [
    "0",
    "-1",
    "101",
    "1.5",
    "ten",
    "",
    "null",
    "9" * 400,
    "1e1",
    "%00",
    "1,2",
    "2.0",
    "%202",
    "2%20",
    "%2B2",
    "1_0",
    "%D9%A2",
]
NO_IDS = ["", "x", "-1", "1.5", "9" * 17, "1-2", "0x10", "1%00", "%00", "1%0A", "%20", "MTIz", "null", "²", "1,2"]
NO_DATES = ["", "x", "-", "1", "1-", "-1", "1-2-3", "9" * 17 + "-1", "1-" + "9" * 17, "1-x", "1-2%0A", "1-2%00", "²-1"]


@pytest.fixture
def as_ada(api: Api, world: World) -> Signed:
    """bob has seven of everything, and ada of what is her own.

    Some at the very same moment, for the order must not depend on the clock alone.
    """
    ada, bob = world.user("ada"), world.user("bob")
    world.follow(ada, bob)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    root = world.post(by=bob)
    for number in range(COUNT):
        other = world.user(f"b{number}")
        post = world.post(by=bob) if number else root
        date = {"date": moment} if number % 2 else {}
        world.follow(bob, other, **date)
        world.like(other, root, **date)
        world.like(bob, post, **date)
        world.post(by=other, parent=root)
        if number:
            world.follow(other, bob, **date)
        token, _ = world.sign_in(ada)
        world.personal_token(ada)
    return api.as_(token)


def key(item: dict[str, Any]) -> int:
    return int(item["id"])


def walk(as_ada: Signed, operation: Operation, query: str) -> Iterator[list[int]]:
    for page in pages(as_ada, f"{operation.url}?{query}"):
        yield [key(item) for item in page]


def test_every_list_is_tested_here() -> None:
    assert len(LISTS) == 11
    assert {one.path for one in LISTS} >= DATED


def test_following_the_links_gives_everything_once_and_ends(as_ada: Signed) -> None:
    for operation in LISTS:
        whole = [key(item) for item in as_ada.get(f"{operation.url}?limit=100").json()]
        assert len(whole) == len(set(whole)) >= COUNT, operation
        for limit in (1, 3, len(whole) - 1, len(whole), len(whole) + 1):
            found = list(walk(as_ada, operation, f"limit={limit}"))
            assert [one for page in found for one in page] == whole, (operation, limit)
            assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1), (operation, limit)
            assert 0 < len(found[-1]) <= limit, (operation, limit)  # the last page is no empty one


def test_the_link_keeps_what_was_asked_for(as_ada: Signed, world: World) -> None:
    link = as_ada.get("/user/?q=b&limit=2&unknown=%C3%A9").headers["link"]
    assert link == '<http://testserver/user/?q=b&limit=2&unknown=%C3%A9&cursor=8>; rel="next"'


def test_an_empty_list_has_no_link(api: Api) -> None:
    response = api.get("/user/?limit=1")
    assert (response.json(), "link" in response.headers) == ([], False)


def test_a_page_has_twenty_where_nothing_is_said(api: Api, world: World) -> None:
    for _ in range(21):
        world.user()
    response = api.get("/user/")
    assert (len(response.json()), len(api.get(response.links["next"]["url"]).json())) == (20, 1)


def test_a_limit_out_of_bounds_is_refused(as_ada: Signed) -> None:
    for operation, limit in product(LISTS, NO_LIMITS):
        response = as_ada.get(f"{operation.url}?limit={limit}")
        assert problem(response) == (422, "invalid-request"), (operation, limit)
        assert [one["loc"] for one in response.json()["errors"]] == [["query", "limit"]]


def test_a_parameter_that_is_there_twice_is_refused(as_ada: Signed) -> None:
    for operation in LISTS:
        response = as_ada.get(f"{operation.url}?limit=1&limit=2")
        assert problem(response) == (422, "invalid-request"), operation
        assert [one["loc"] for one in response.json()["errors"]] == [["query", "limit"]]


def test_a_garbled_cursor_is_refused(as_ada: Signed) -> None:
    for operation in LISTS:
        for cursor in NO_DATES if operation.path in DATED else NO_IDS:
            response = as_ada.get(f"{operation.url}?cursor={cursor}")
            assert problem(response) == (422, "invalid-request"), (operation, cursor)
            assert [one["loc"] for one in response.json()["errors"]] == [["query", "cursor"]]


def test_a_made_up_cursor_breaks_nothing(as_ada: Signed) -> None:
    for operation in LISTS:
        most = "9" * 16
        made_up = [f"0-{most}", f"{most}-{most}", f"{most}-0", "0-0"] if operation.path in DATED else ["0", most]
        for cursor in made_up:
            response = as_ada.get(f"{operation.url}?cursor={cursor}")
            assert response.status_code == 200, (operation, cursor)


def test_a_list_of_the_signed_in_is_not_for_others(api: Api) -> None:
    for path in ("/user/timeline/", "/user/me/sessions/"):
        assert problem(api.get(path)) == (401, "not-signed-in")
