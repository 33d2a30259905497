"""Random histories of people who are suspended and let back: nothing of theirs is seen, and all of it afterwards."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.api import Api
from tests.conftest import empty_tables
from tests.test_counters import recount

NAMES = ("ada", "bob", "eve", "zoe")
BEGIN = """
    INSERT INTO "user" (email, username, password_hash) SELECT name || '@x.org', name, '' FROM unnest(:names) AS name;
"""
# Past the service, so that whatever a shell may do is among it. What somebody says names them.
STEPS = {
    "suspend": """UPDATE "user" SET suspended_at = now(), suspended_reason = 'Spam.' WHERE id = :who""",
    "let back": 'UPDATE "user" SET suspended_at = NULL, suspended_reason = NULL WHERE id = :who',
    "post": """INSERT INTO post (user_id, text) SELECT id, 'by ' || username FROM "user" WHERE id = :who""",
    "reply": """INSERT INTO post (user_id, parent_id, text) SELECT "user".id, post.id, 'by ' || username
        FROM "user", post
        WHERE "user".id = :who AND post.id = :post AND post.user_id IS NOT NULL AND NOT post.hidden""",
    "delete": "UPDATE post SET user_id = NULL WHERE id = :post",
    "like": """INSERT INTO "like" (user_id, post_id) SELECT "user".id, post.id FROM "user", post
        WHERE "user".id = :who AND post.id = :post AND post.user_id IS NOT NULL AND NOT post.hidden
        ON CONFLICT DO NOTHING""",
    "follow": """INSERT INTO social (follower_id, followed_id) SELECT a.id, b.id FROM "user" AS a, "user" AS b
        WHERE a.id = :who AND b.id = 1 + :post % 4 AND a.id <> b.id ON CONFLICT DO NOTHING""",
}
steps = st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 4), st.integers(1, 6))
PATHS = (
    *("/post/", "/user/", "/user/?q=a", "/user/?q=e"),
    *(f"/user/{name}/{what}" for name in NAMES for what in ("", "followers/", "following/")),
    *(f"/post/{what}/{name}/" for name in NAMES for what in ("user", "likes")),
    *(f"/post/user/{name}/?include_replies=true" for name in NAMES),
    *(f"/post/{post}/{what}" for post in range(1, 7) for what in ("", "replies/", "thread/", "likes/")),
)


def seen(api: Api) -> dict[str, Any]:
    """All that anybody sees."""
    answers = {path: api.get(path) for path in PATHS}
    return {path: answer.json() for path, answer in answers.items() if answer.status_code == 200}


def shown(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.scalars(text(query)))


@settings(
    max_examples=max(3, settings().max_examples // 30), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=st.lists(steps, min_size=10, max_size=25))
def test_of_the_suspended_nothing_is_seen_until_they_are_let_back(
    running: Api, engine: Engine, history: list[tuple[str, int, int]]
) -> None:
    with engine.begin() as connection:
        empty_tables(connection)
        connection.execute(text(BEGIN), {"names": list(NAMES)})
    for step, who, post in history:
        with engine.begin() as connection:
            connection.execute(text(STEPS[step]), {"who": who, "post": post})
    out = shown(engine, 'SELECT username FROM "user" WHERE suspended_at IS NOT NULL ORDER BY id')
    found = json.dumps(seen(running))
    for name in out:
        assert f'"username": "{name}"' not in found
        assert f"by {name}" not in found
    assert [name for name in NAMES if f'"username": "{name}"' not in found] == out
    recount(engine)
    with engine.begin() as connection:
        connection.execute(text('UPDATE "user" SET suspended_at = NULL, suspended_reason = NULL'))
    everything = seen(running)
    newest = "user_id IS NOT NULL ORDER BY id DESC"
    assert [one["id"] for one in everything["/post/"]] == shown(
        engine, f"SELECT id FROM post WHERE parent_id IS NULL AND {newest}"
    )
    assert [one["username"] for one in everything["/user/"]] == list(reversed(NAMES))
    for number, name in enumerate(NAMES, 1):
        theirs = everything[f"/post/user/{name}/?include_replies=true"]
        assert [one["id"] for one in theirs] == shown(
            engine, f"SELECT id FROM post WHERE user_id = {number} AND {newest}"
        )
        assert {one["text"] for one in theirs} <= {f"by {name}"}
        liked = shown(engine, f'SELECT post_id FROM "like" WHERE user_id = {number} ORDER BY date DESC')
        assert [one["id"] for one in everything[f"/post/likes/{name}/"]] == liked
        assert len(everything[f"/user/{name}/followers/"]) == everything[f"/user/{name}/"]["follower_count"]
    recount(engine)
