"""Random histories, with answers that are kept all along: each is what the database has to say, after each step."""

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from pamps.config import Settings
from pamps.queries.version import unchanged
from tests.conftest import empty_tables
from tests.kept import Question, Told, asking, posts_by, the_post, the_thread, timeline

NAMES = ("ada", "bob", "eve")
BEGIN = """
    INSERT INTO "user" (email, username, password_hash) SELECT name || '@x.org', name, '' FROM unnest(:names) AS name;
    INSERT INTO session (user_id, expires_at, family_hash, token_hash)
        SELECT id, now() + interval '1 day', username::bytea, username::bytea FROM "user";
    INSERT INTO social (follower_id, followed_id) VALUES (1, 2), (2, 1), (3, 1);
    INSERT INTO post (user_id, parent_id, text) VALUES (1, NULL, 'a'), (2, 1, 'b'), (3, 2, 'c'), (2, NULL, 'd');
"""
# Past the service, so that whatever a shell may do is among it.
STEPS = {
    "suspend": """UPDATE "user" SET suspended_at = now(), suspended_reason = 'Spam.' WHERE id = :who""",
    "let back": 'UPDATE "user" SET suspended_at = NULL, suspended_reason = NULL WHERE id = :who',
    "post": """INSERT INTO post (user_id, text) SELECT id, 'x' FROM "user" WHERE id = :who""",
    "reply": """INSERT INTO post (user_id, parent_id, text) SELECT "user".id, post.id, 'y' FROM "user", post
        WHERE "user".id = :who AND post.id = :post AND post.user_id IS NOT NULL AND NOT post.hidden""",
    "edit": "UPDATE post SET text = text || '.' WHERE id = :post AND user_id IS NOT NULL",
    "delete": "UPDATE post SET user_id = NULL WHERE id = :post",
    "like": """INSERT INTO "like" (user_id, post_id) SELECT "user".id, post.id FROM "user", post
        WHERE "user".id = :who AND post.id = :post AND post.user_id IS NOT NULL AND NOT post.hidden
        ON CONFLICT DO NOTHING""",
    "unlike": 'DELETE FROM "like" WHERE user_id = :who AND post_id = :post',
    "follow": """INSERT INTO social (follower_id, followed_id) SELECT a.id, b.id FROM "user" AS a, "user" AS b
        WHERE a.id = :who AND b.id = 1 + :post % 3 AND a.id <> b.id ON CONFLICT DO NOTHING""",
    "unfollow": "DELETE FROM social WHERE follower_id = :who AND followed_id = 1 + :post % 3",
    "rename": """UPDATE "user" SET name = coalesce(name, '') || 'x' WHERE id = :who""",
    "swap": """UPDATE "user" SET username = username || 'x' WHERE id = :who AND length(username) < 10""",
    "sign out": "DELETE FROM session WHERE user_id = :who AND :post = 1",
    "leave": 'DELETE FROM "user" WHERE id = :who AND :post = 1',
}
steps = st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 3), st.integers(1, 7))
QUESTIONS: list[Question] = [
    *(ask(post, viewer) for ask in (the_post, the_thread) for post in range(1, 7) for viewer in (None, 1, 3)),
    *(
        posts_by(name, viewer, replies)
        for name in (*NAMES, "adax")
        for viewer in (None, 2)
        for replies in (True, False)
    ),
    *(timeline(viewer, replies) for viewer in (1, 2, 3) for replies in (True, False)),
    *(timeline(viewer, limit=1, cursor_id=4) for viewer in (1, 3)),
]


@hypothesis_settings(
    max_examples=max(3, hypothesis_settings().max_examples // 10),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=st.lists(steps, min_size=10, max_size=20))
def test_after_whatever_has_happened_a_kept_answer_is_what_the_database_has_to_say(
    settings: Settings, engine: Engine, history: list[tuple[str, int, int]]
) -> None:
    with engine.begin() as connection:
        empty_tables(connection)
        for command in BEGIN.strip().removesuffix(";").split(";"):
            connection.execute(text(command), {"names": list(NAMES)} if ":names" in command else {})

    async def ask(database: Told) -> None:
        for question in QUESTIONS:
            await database.keep(question)
        kept = 0
        for step, who, post in history:
            with engine.begin() as connection:
                connection.execute(text(STEPS[step]), {"who": who, "post": post})
            for question in QUESTIONS:
                database.ran.clear()
                found = await database.answer(question)
                kept += database.ran == [unchanged]
                assert found == await database.anew(question), (question[0].sql[:300], question[1])
        assert kept

    asking(settings, ask)
