"""Threads: what a post replies to, and what was replied to it; also very deep and very wide ones."""

import random
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.api import Api, problem
from tests.factories import World
from tests.pages import ids
from tests.people import Someone
from tests.tables import tables

THREAD_MAX = 500

# Posts 1 to :count of two people in turn; each :each of them hang under the same one.
GROW = """
    INSERT INTO post (id, user_id, parent_id, text)
    SELECT n, 1 + n % 2, CASE WHEN n > 1 THEN 1 + (n - 2) / :each END, 'x' FROM generate_series(1, :count) n
"""


@pytest.fixture
def ada(api: Api, world: World) -> Someone:
    return Someone(api, world, "ada")


@pytest.fixture
def bob(api: Api, world: World, ada: Someone) -> Someone:
    return Someone(api, world, "bob")


def grow(engine: Engine, count: int, each: int) -> None:
    with engine.begin() as connection:
        connection.execute(text(GROW), {"count": count, "each": each})


def thread(client: Api | Someone, post: int) -> Any:
    response = client.get(f"/post/{post}/thread/")
    assert response.status_code == 200
    return response.json()


def test_a_thread_is_ancestors_from_the_root_down_and_descendants_depth_first(
    api: Api, ada: Someone, bob: Someone, world: World
) -> None:
    root = world.post(by=ada.user)
    sibling = world.post(by=bob.user, parent=root)
    post = world.post(by=bob.user, parent=root)
    first, second = (world.post(by=ada.user, parent=post) for _ in range(2))
    under_second = world.post(by=bob.user, parent=second)
    under_first = world.post(by=bob.user, parent=first)
    deepest = world.post(by=ada.user, parent=under_first)
    third = world.post(by=ada.user, parent=post)
    found = thread(api, post.id or 0)
    assert ids(found["ancestors"]) == [root.id]
    depth_first = [first, under_first, deepest, second, under_second, third]
    assert ids(found["descendants"]) == [below.id for below in depth_first]
    assert (found["post"]["id"], found["truncated"]) == (post.id, False)
    assert ids(thread(api, deepest.id or 0)["ancestors"]) == [root.id, post.id, first.id, under_first.id]
    assert ids(thread(api, sibling.id or 0)["ancestors"]) == [root.id]


def test_a_thread_shows_posts_as_they_are_shown_alone(ada: Someone, bob: Someone, api: Api, world: World) -> None:
    post = world.post(by=ada.user)
    for _ in range(2):
        post = world.post(by=bob.user, parent=post)
    ada.post("/post/2/like/")
    ada.patch("/post/1/", json={"text": "changed"})
    for client in (ada, bob, api):
        alone = [client.get(f"/post/{number}/").json() for number in (1, 2, 3)]
        shown = [{key: value for key, value in body.items() if key != "replies"} for body in alone]
        found = thread(client, 2)
        assert (found["ancestors"], found["post"], found["descendants"]) == ([shown[0]], shown[1], [shown[2]])


def test_a_post_alone_is_a_thread_of_one(api: Api, ada: Someone, world: World) -> None:
    world.post(by=ada.user)
    world.post(by=ada.user)
    found = thread(api, 1)
    assert (found["ancestors"], found["descendants"], found["truncated"]) == ([], [], False)


@pytest.mark.parametrize("each", [1, 2, 7, 1000])
@pytest.mark.parametrize("count", [501, 502])
def test_a_thread_shows_at_most_500_descendants(api: Api, bob: Someone, engine: Engine, each: int, count: int) -> None:
    """In a chain, in trees, and in one row: from 501 descendants on it says that there are more."""
    grow(engine, count, each)
    found = thread(api, 1)
    below = depth_first({n: 1 + (n - 2) // each for n in range(2, count + 1)}, 1)
    assert ids(found["descendants"]) == below[:THREAD_MAX]
    assert found["truncated"] is (count - 1 > THREAD_MAX)


def depth_first(parents: dict[int, int], post: int) -> list[int]:
    """Everything under a post; not by recursion, since a chain may be longer than Python calls deep."""
    found, ahead = [], [post]
    while ahead:
        post = ahead.pop()
        found.append(post)
        ahead += sorted((child for child, parent in parents.items() if parent == post), reverse=True)
    return found[1:]


@pytest.mark.parametrize("seed", range(3))
def test_the_first_500_of_a_tangled_thread_are_shown(api: Api, bob: Someone, engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    # Some posts have many replies, and some threads run deep.
    parents = {
        n: chance.choice([n - 1, chance.randrange(max(1, n - 30), n), chance.randrange(1, n)]) for n in range(2, 900)
    }
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO post (id, user_id, text) VALUES (1, 1, 'x')"))
        rows = [{"id": n, "parent": parent} for n, parent in parents.items()]
        connection.execute(text("INSERT INTO post (id, user_id, parent_id, text) VALUES (:id, 2, :parent, 'x')"), rows)
    for post in (1, 2, 3, 10, 500):
        found = thread(api, post)
        below = depth_first(parents, post)
        assert (ids(found["descendants"]), found["truncated"]) == (below[:THREAD_MAX], len(below) > THREAD_MAX)


def test_of_a_wide_level_the_first_in_the_thread_are_shown_not_the_oldest(
    api: Api, bob: Someone, engine: Engine
) -> None:
    """All replies to the second reply were there before any to the first."""
    rows = [{"id": n, "parent": 1 if n < 4 else 3 if n < 404 else 2} for n in range(2, 804)]
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO post (id, user_id, text) VALUES (1, 1, 'x')"))
        connection.execute(text("INSERT INTO post (id, user_id, parent_id, text) VALUES (:id, 2, :parent, 'x')"), rows)
    assert ids(thread(api, 1)["descendants"]) == [2, *range(404, 804), 3, *range(4, 102)]


def test_a_very_deep_thread_is_read_from_both_ends(api: Api, bob: Someone, engine: Engine) -> None:
    grow(engine, 1500, each=1)
    assert ids(thread(api, 1500)["ancestors"]) == list(range(1, 1500))
    middle = thread(api, 800)
    assert (ids(middle["ancestors"]), ids(middle["descendants"])) == (list(range(1, 800)), list(range(801, 1301)))
    assert middle["truncated"] is True
    assert thread(api, 1000)["truncated"] is False


def test_a_very_wide_thread_is_read_and_its_end_is_in_the_replies(api: Api, bob: Someone, engine: Engine) -> None:
    grow(engine, 1500, each=2000)
    found = thread(api, 1)
    assert (ids(found["descendants"]), found["truncated"]) == (list(range(2, 502)), True)
    assert found["post"]["reply_count"] == 1499
    assert ids(api.get("/post/1/replies/?cursor=1490&limit=100").json()) == list(range(1491, 1501))


def test_a_very_deep_thread_of_tombstones_goes_with_its_last_post(ada: Someone, bob: Someone, engine: Engine) -> None:
    """Deeper than PostgreSQL lets triggers set off one another."""
    grow(engine, 1500, each=1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE post SET user_id = NULL WHERE id < 1500"))
    assert len(tables(engine)["post"]) == 1500
    assert thread(ada, 1500)["ancestors"][0]["deleted"] is True
    author = ada if thread(ada, 1500)["post"]["user_id"] == 1 else bob
    assert author.delete("/post/1500/").status_code == 204
    assert tables(engine)["post"] == []


def test_whoever_wrote_a_very_deep_thread_alone_takes_it_along(ada: Someone, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(GROW.replace("1 + n % 2", "1")), {"count": 1500, "each": 1})
        connection.execute(text('DELETE FROM "user"'))
    assert tables(engine)["post"] == []


def test_a_thread_of_nothing_is_not_found(api: Api, empty: None) -> None:
    assert problem(api.get("/post/1/thread/")) == (404, "post-not-found")
