"""A timeline is found in one of two ways (pamps/queries/timeline.py); whichever it is, it is the timeline."""

from random import Random

import pytest
from sqlalchemy import Engine, text

from pamps.queries.timeline import FEW, FURTHER
from tests.api import Api
from tests.factories import World
from tests.pages import every_page, ids
from tests.people import Someone

MANY = FEW + 30
PEOPLE = f"""
    INSERT INTO "user" (username, email, password_hash)
    SELECT 'person' || n, 'person' || n || '@example.com', '' FROM generate_series(1, {2 * MANY}) n
"""
FOLLOWS = """
    INSERT INTO social (follower_id, followed_id) SELECT :reader, id FROM "user" WHERE id <> :reader
    ORDER BY id LIMIT :follows
"""
POSTS = """
    INSERT INTO post (user_id, parent_id, text)
    SELECT author, parent, 'x' FROM unnest(CAST(:authors AS bigint[]), CAST(:parents AS bigint[]))
    WITH ORDINALITY AS p (author, parent, number) ORDER BY number
"""
TIMELINE = """
    SELECT post.id FROM post JOIN social ON followed_id = user_id WHERE follower_id = :reader
    AND (:replies OR parent_id IS NULL) ORDER BY post.id DESC
"""


@pytest.fixture
def ada(api: Api, world: World) -> Someone:
    return Someone(api, world, "ada")


def published(engine: Engine, reader: int, follows: int, authors: list[int], seed: int) -> None:
    """People, some of them followed, and posts by `authors` (numbers from 1), every third of them a reply."""
    random = Random(seed)
    with engine.begin() as connection:
        connection.execute(text(PEOPLE))
        connection.execute(text(FOLLOWS), {"reader": reader, "follows": follows})
        first = connection.execute(
            text('SELECT min(id) FROM "user" WHERE id <> :reader'), {"reader": reader}
        ).scalar_one()
        rows = {
            "authors": [first + number - 1 for number in authors],
            "parents": [random.randint(1, index) if index % 3 == 2 else None for index in range(len(authors))],
        }
        connection.execute(text(POSTS), rows)


def by_anybody(random: Random, count: int) -> list[int]:
    return [random.randint(1, 2 * MANY) for _ in range(count)]


@pytest.mark.parametrize("follows", [0, 1, 10, FEW, FEW + 1, FEW + 5, MANY])
@pytest.mark.parametrize("replies", [True, False])
def test_every_page_is_right_however_many_are_followed(
    api: Api, ada: Someone, engine: Engine, follows: int, replies: bool
) -> None:
    random = Random(follows)
    # The newest are by few, the older ones by all, the oldest by those who have been silent since.
    authors = [
        *(random.randint(1, 20) for _ in range(60)),
        *by_anybody(random, 2 * MANY * FURTHER),
        *(random.randint(MANY, 2 * MANY) for _ in range(MANY * FURTHER)),
        *by_anybody(random, 60),
    ]
    reader = ada.user.id
    assert reader is not None
    published(engine, reader, follows, authors, seed=follows)
    with engine.begin() as connection:
        right = list(connection.scalars(text(TIMELINE), {"reader": reader, "replies": replies}))
    for limit in (13, 100):
        found = every_page(ada, f"/user/timeline/?limit={limit}&include_replies={str(replies).lower()}")
        assert ids(found) == right[: len(found)]
        assert len(found) == len(right)
