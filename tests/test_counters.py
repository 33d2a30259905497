"""The counters, which triggers keep, against a real count; also when somebody writes SQL past the service."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.conftest import empty_tables

RECOUNT = """
    SELECT 'user', id, ARRAY[post_count, follower_count, following_count], ARRAY[
        (SELECT count(*) FROM post WHERE user_id = "user".id),
        (SELECT count(*) FROM social WHERE followed_id = "user".id),
        (SELECT count(*) FROM social WHERE follower_id = "user".id)
    ] FROM "user"
    UNION ALL
    SELECT 'post', id, ARRAY[like_count, reply_count], ARRAY[
        (SELECT count(*) FROM "like" WHERE post_id = post.id),
        (SELECT count(*) FROM post AS reply WHERE reply.parent_id = post.id AND reply.user_id IS NOT NULL)
    ] FROM post
"""
BARE = "SELECT id FROM post WHERE user_id IS NULL AND NOT EXISTS (SELECT FROM post AS r WHERE r.parent_id = post.id)"


def recount(engine: Engine) -> None:
    """Fail unless every counter is what counting gives, and every tombstone has no likes and something under it."""
    with engine.connect() as connection:
        rows = connection.execute(text(RECOUNT)).all()
        bare = connection.scalars(text(BARE)).all()
        liked = connection.scalars(text("SELECT id FROM post WHERE user_id IS NULL AND like_count <> 0")).all()
    assert [tuple(row) for row in rows if row[2] != row[3]] == []
    assert (bare, liked) == ([], [])


# Eight people, each following three and liking ten of forty posts, which hang together in threads.
BEGIN = """
    INSERT INTO "user" (email, username, password_hash) SELECT n || '@x', 'user' || n, '' FROM generate_series(1, 8) n;
    INSERT INTO post (user_id, parent_id, text)
        SELECT 1 + n % 8, CASE WHEN n % 5 <> 1 THEN n - 1 - n % 2 END, 'x' FROM generate_series(1, 40) n;
    INSERT INTO "like" (user_id, post_id) SELECT u, p FROM generate_series(1, 8) u, generate_series(1, 40) p
        WHERE (u + p) % 4 = 0;
    INSERT INTO social SELECT u, 1 + (u + n) % 8 FROM generate_series(1, 8) u, generate_series(1, 3) n;
"""
UNDER = """
    WITH RECURSIVE under AS (
        SELECT id FROM post WHERE id = :post UNION ALL SELECT post.id FROM post JOIN under ON parent_id = under.id
    )
"""
STEPS = (
    'DELETE FROM "user" WHERE id = :user',
    'DELETE FROM "user" WHERE id IN (:user, :other)',
    'DELETE FROM "like" WHERE post_id = :post',
    'DELETE FROM "like" WHERE user_id = :user',
    'DELETE FROM "like" WHERE (user_id + post_id) % 3 = 0',
    "DELETE FROM social WHERE follower_id = :user",
    "DELETE FROM social WHERE followed_id % 2 = 0",
    f"{UNDER} DELETE FROM post WHERE id IN (SELECT id FROM under)",
    "DELETE FROM post WHERE id = :post AND NOT EXISTS (SELECT FROM post AS reply WHERE reply.parent_id = :post)",
    "UPDATE post SET user_id = NULL WHERE id = :post",
    "UPDATE post SET user_id = NULL WHERE parent_id = :post",
    f"{UNDER} UPDATE post SET user_id = NULL WHERE id IN (SELECT id FROM under)",
    'UPDATE post SET user_id = "user".id FROM "user" WHERE "user".id = :user AND post.user_id = :other',
    "UPDATE post SET parent_id = NULL WHERE id = :post",
    """INSERT INTO post (user_id, parent_id, text) SELECT "user".id, post.id, 'x' FROM "user", post
       WHERE "user".id = :user AND post.id = :post AND post.user_id IS NOT NULL""",
    """INSERT INTO "like" (user_id, post_id) SELECT "user".id, post.id FROM "user", post
       WHERE "user".id = :user AND post.user_id IS NOT NULL ON CONFLICT DO NOTHING""",
    """INSERT INTO social (follower_id, followed_id) SELECT "user".id, other.id FROM "user", "user" AS other
       WHERE "user".id = :user AND other.id <> :user ON CONFLICT DO NOTHING""",
)
steps = st.tuples(st.sampled_from(STEPS), st.integers(1, 8), st.integers(1, 8), st.integers(1, 45))


def begin(engine: Engine) -> None:
    with engine.begin() as connection:
        empty_tables(connection)
        connection.execute(text(BEGIN))


@settings(max_examples=settings().max_examples // 2)
@given(history=st.lists(steps, min_size=1, max_size=15))
def test_whatever_is_written_the_counters_are_right(engine: Engine, history: list[tuple[str, int, int, int]]) -> None:
    begin(engine)
    recount(engine)
    for step, user, other, post in history:
        with engine.begin() as connection:
            connection.execute(text(step), {"user": user, "other": other, "post": post})
        recount(engine)


@pytest.mark.parametrize("step", STEPS)
def test_each_of_these_steps_changes_something(engine: Engine, step: str) -> None:
    """Or else the random histories would show nothing."""
    begin(engine)
    with engine.begin() as connection:
        result = connection.execute(text(step), {"user": 3, "other": 4, "post": 40 if "NOT EXISTS" in step else 7})
        assert result.rowcount > 0


def test_everybody_can_be_deleted_in_one_statement(engine: Engine) -> None:
    begin(engine)
    with engine.begin() as connection:
        connection.execute(text('DELETE FROM "user"'))
        left = 'SELECT (SELECT count(*) FROM post) + (SELECT count(*) FROM "like") + (SELECT count(*) FROM social)'
        assert connection.scalar(text(left)) == 0


CROWDED = """
    INSERT INTO "user" (email, username, password_hash) VALUES ('a@x', 'ada', '');
    INSERT INTO post (user_id, text) SELECT 1, 'It fills its page with others.' || repeat('.', 150)
        FROM generate_series(1, 2000);
    INSERT INTO "like" (user_id, post_id) SELECT 1, id FROM post WHERE id % 40 = 0
"""
VERSIONS = """
    SELECT pg_stat_get_xact_tuples_updated(post), pg_stat_get_xact_tuples_hot_updated(post)
    FROM (SELECT 'post'::regclass) AS of (post)
"""


def test_a_like_leaves_the_indexes_of_its_post_alone(engine: Engine, empty: None) -> None:
    with engine.begin() as connection:
        before = connection.execute(text(VERSIONS)).one()  # of earlier transactions, not yet handed on
        connection.execute(text(CROWDED))
        after = connection.execute(text(VERSIONS)).one()
    assert [late - early for early, late in zip(before, after, strict=True)] == [50, 50]
