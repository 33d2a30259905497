"""The statements that make the network, in order; data.py runs them. What is random comes from a hash and the seed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.layout import CELEBRITIES, PRIME, THREAD_STEP, Layout
from benchmarks.words import FIRST_NAMES, LAST_NAMES, SENTENCES

# Everything has happened in these two years, in the order of the ids and ever more often.
BEGIN, END = "timestamptz '2024-01-01 00:00Z'", "timestamptz '2026-01-01 00:00Z'"

# What a counter should be, by counting; and the celebrities and the hot post belong to every sample.
COUNTERS = (
    ('"user"', "post_count", "SELECT count(*) FROM post WHERE user_id = counted.id", "id < 10"),
    ('"user"', "follower_count", "SELECT count(*) FROM social WHERE followed_id = counted.id", "id < 10"),
    ('"user"', "following_count", "SELECT count(*) FROM social WHERE follower_id = counted.id", "id < 10"),
    ("post", "like_count", 'SELECT count(*) FROM "like" WHERE post_id = counted.id', "id = %(hot)s"),
    (
        "post",
        "reply_count",
        "SELECT count(*) FROM post AS reply WHERE reply.parent_id = counted.id AND reply.user_id IS NOT NULL",
        "id = %(hot)s",
    ),
)

# unit() is a number in [0, 1) that hangs on the seed, the purpose and what it is for, and on nothing else.
FUNCTIONS = f"""
CREATE FUNCTION pg_temp.unit(purpose bigint, x bigint, y bigint DEFAULT 0) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT (hashint8extended(x, hashint8extended(y, purpose)) & 9007199254740991) / 9007199254740992.0::float8
$$;
CREATE FUNCTION pg_temp.date_of(post bigint, posts bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT {BEGIN} + sqrt(post::float8 / posts) * ({END} - {BEGIN})
$$;
"""


@dataclass(frozen=True)
class Step:
    """One table's rows: `sql` makes those from %(first)s to %(last)s."""

    title: str
    count: int
    sql: str
    values: dict[str, Any] = field(default_factory=dict)
    pieces: int = 40


def steps(layout: Layout, password_hash: str) -> Iterator[Step]:
    """All of them. Rows whose counters need others come after those."""
    yield Step("functions", 1, FUNCTIONS, pieces=1)
    yield Step("drafts of posts", layout.posts, drafts(layout))
    yield Step("follows of celebrities", layout.pool, celebrities(layout))
    yield Step("follows", layout.pool, follows(layout))
    yield Step("follows of readers", 4 * layout.readers_of_a_kind, reader_follows(layout), pieces=1)
    yield Step("likes", layout.likers, likes(layout), pieces=100)
    yield Step("counting", 1, COUNTS, pieces=1)
    yield Step("posts", layout.posts, posts(layout), {"sentences": list(SENTENCES)})
    names = {"first_names": list(FIRST_NAMES), "last_names": list(LAST_NAMES)}
    yield Step("users", layout.users, users(layout), {"password_hash": password_hash, **names})
    yield Step("sessions", layout.users, sessions(layout), pieces=1)
    yield Step("identities", 1, IDENTITIES, pieces=1)


def purpose(layout: Layout, number: int) -> int:
    """The salt of a hash: another one for each thing that is drawn."""
    return layout.seed * 1000 + number


def drafts(layout: Layout) -> str:
    """Who wrote which post in reply to which: a third are replies, mostly to something recent, some in great threads.

    A great thread's root stands at the beginning of its span; every THREAD_STEP-th post after it is in the thread,
    under an earlier one of it, and often under the root.
    """
    unit = f"pg_temp.unit({purpose(layout, 1)}, id"
    span = layout.thread_span
    others = (1 / 3 - 1 / THREAD_STEP) / (1 - 1 / THREAD_STEP)
    return f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS draft (id bigint, user_id bigint, parent_id bigint) ON COMMIT DROP;
    INSERT INTO draft
    SELECT id,
        CASE WHEN id <= {layout.old_posts} THEN {CELEBRITIES} + 1 + id %% {layout.silent}
             WHEN author < {CELEBRITIES} THEN author + 1
             ELSE {layout.first_active} + (author - {CELEBRITIES}) * {PRIME} %% {layout.active} END,
        CASE WHEN member > 0 THEN root + {THREAD_STEP} * floor(member * {unit}, 2) ^ 4)::bigint
             WHEN id > root AND {unit}, 3) < {others}
             THEN id - 1 - floor({unit}, 4) ^ 3 * least(id - 1, 50000))::bigint END
    FROM generate_series(%(first)s::bigint, %(last)s) AS id,
        LATERAL (SELECT 1 + least((id - 1) / {span}, {layout.threads - 1}) * {span}) AS thread(root),
        LATERAL (SELECT CASE WHEN (id - root) %% {THREAD_STEP} = 0 THEN (id - root) / {THREAD_STEP} END)
            AS place(member),
        LATERAL (SELECT floor({layout.active + CELEBRITIES} * {unit}, 1) ^ 2)::bigint) AS by(author)
    """


def share(total: int, people: int, skew: float) -> str:
    """How many of `total` the person `n` (from 1) has: shares that fall with n, and are exactly `total` together."""
    upto = f"floor({total} * power(({{}})::float8 / {people}, {1 / skew}))"
    return f"({upto.format('n')} - {upto.format('n - 1')})::bigint"


def celebrities(layout: Layout) -> str:
    """Everybody in the pool follows every celebrity."""
    return f"""
    INSERT INTO social (follower_id, followed_id, date)
    SELECT n + {CELEBRITIES}, celebrity, {follow_date(layout, "n", "celebrity")}
    FROM generate_series(%(first)s::bigint, %(last)s) AS n, generate_series(1, {CELEBRITIES}) AS celebrity
    """


def follow_date(layout: Layout, follower: str, number: str) -> str:
    return f"{BEGIN} + pg_temp.unit({purpose(layout, 5)}, {follower}, {number}) * ({END} - {BEGIN})"


def follows(layout: Layout) -> str:
    """People follow others of the active, those more who write more.

    The k-th whom somebody follows is drawn from the k-th part of the ranks, and k is added: so nobody comes twice.
    """
    others = layout.active - 1
    return f"""
    INSERT INTO social (follower_id, followed_id, date)
    SELECT follower, {layout.first_active} + place + ({layout.first_active} + place >= follower)::int,
        {follow_date(layout, "follower", "k + 10")}
    FROM generate_series(%(first)s::bigint, %(last)s) AS n,
        LATERAL (SELECT {CELEBRITIES + 1} + n * {PRIME} %% {layout.pool},
            {share(layout.follows_of_pool, layout.pool, layout.follow_skew)}) AS who(follower, follows),
        generate_series(0, follows - 1) AS k,
        LATERAL (SELECT (k + pg_temp.unit({purpose(layout, 6)}, follower, k)) / follows) AS drawn(x),
        LATERAL (SELECT (k + floor(({others} - follows) * x ^ 2)::bigint) * {PRIME} %% {others}) AS found(place)
    """


def reader_follows(layout: Layout) -> str:
    """Readers follow the celebrities and some of the active; those of the last kind only some of the silent."""
    kinds = ", ".join(f"({reader.first}, {reader.follows})" for reader in layout.readers.values())
    silent_from = layout.readers["silent"].first
    return f"""
    INSERT INTO social (follower_id, followed_id, date)
    SELECT reader,
        CASE WHEN reader >= {silent_from} THEN {CELEBRITIES} + 1 + (reader + k) %% {layout.silent}
             WHEN k < {CELEBRITIES} THEN k + 1
             ELSE {layout.first_active} + (k - {CELEBRITIES} + floor(({layout.active} - rest) * x ^ 2)::bigint)
                  * {PRIME} %% {layout.active} END,
        {follow_date(layout, "reader", "k")}
    FROM (VALUES {kinds}) AS kind(first, follows),
        generate_series(first, first + {layout.readers_of_a_kind - 1}) AS reader,
        generate_series(0::bigint, follows - 1) AS k,
        LATERAL (SELECT follows - {CELEBRITIES}) AS number(rest),
        LATERAL (SELECT (k - {CELEBRITIES} + pg_temp.unit({purpose(layout, 7)}, reader, k)) / rest) AS drawn(x)
    """


def likes(layout: Layout) -> str:
    """Everybody but the writers and the readers likes the hot post, and others, those more that are liked more.

    Drawn like follows(). A like comes some time after its post, mostly soon.
    """
    return f"""
    INSERT INTO "like" (user_id, post_id, date)
    SELECT liker, post, date + pg_temp.unit({purpose(layout, 9)}, liker, k) ^ 3 * ({END} - date)
    FROM generate_series(%(first)s::bigint, %(last)s) AS n,
        LATERAL (SELECT 1 + n * {PRIME} %% {layout.likers},
            {share(layout.likes, layout.likers, layout.like_skew)}) AS who(liker, likes),
        generate_series(0, likes - 1) AS k,
        LATERAL (SELECT (k + pg_temp.unit({purpose(layout, 8)}, liker, k) * (k > 0)::int) / likes) AS drawn(x),
        LATERAL (SELECT k + floor(({layout.posts} - likes) * x ^ 3)::bigint) AS ranked(rank),
        LATERAL (SELECT 1 + ({layout.hot_post - 1} + rank * {PRIME}) %% {layout.posts}) AS found(post),
        LATERAL (SELECT pg_temp.date_of(post, {layout.posts})) AS posted(date)
    """


COUNTS = """
CREATE TEMPORARY TABLE likes_of ON COMMIT DROP AS SELECT post_id AS id, count(*) FROM "like" GROUP BY 1;
CREATE TEMPORARY TABLE replies_of ON COMMIT DROP AS
    SELECT parent_id AS id, count(*) FROM draft WHERE parent_id IS NOT NULL GROUP BY 1;
CREATE TEMPORARY TABLE posts_of ON COMMIT DROP AS SELECT user_id AS id, count(*) FROM draft GROUP BY 1;
CREATE TEMPORARY TABLE followers_of ON COMMIT DROP AS SELECT followed_id AS id, count(*) FROM social GROUP BY 1;
CREATE TEMPORARY TABLE following_of ON COMMIT DROP AS SELECT follower_id AS id, count(*) FROM social GROUP BY 1;
CREATE INDEX ON draft (id);
CREATE INDEX ON likes_of (id);
CREATE INDEX ON replies_of (id);
CREATE INDEX ON posts_of (id);
CREATE INDEX ON followers_of (id);
CREATE INDEX ON following_of (id);
ANALYZE draft, likes_of, replies_of, posts_of, followers_of, following_of;
"""


def posts(layout: Layout) -> str:
    """The drafts with their texts, dates and counters, in the order of their ids."""
    sentence = f"sentence[1 + floor(pg_temp.unit({purpose(layout, 10)}, id, {{}}) * {len(SENTENCES)})::int]"
    return f"""
    INSERT INTO post (id, user_id, parent_id, text, date, like_count, reply_count)
    SELECT id, user_id, parent_id, {sentence.format(1)} || ' ' || {sentence.format(2)},
        pg_temp.date_of(id, {layout.posts}), coalesce(likes_of.count, 0), coalesce(replies_of.count, 0)
    FROM draft LEFT JOIN likes_of USING (id) LEFT JOIN replies_of USING (id), (SELECT %(sentences)s) AS said(sentence)
    WHERE id BETWEEN %(first)s AND %(last)s
    ORDER BY id
    """


def users(layout: Layout) -> str:
    """Everybody: user1, user2, ...; half of them have a picture, half a bio."""
    drawn = f"pg_temp.unit({purpose(layout, 11)}, id, {{}})"
    first, last = drawn.format(1), drawn.format(2)
    return f"""
    INSERT INTO "user" (id, email, username, password_hash, name, avatar, bio, created_at,
        post_count, follower_count, following_count)
    SELECT id, 'user' || id || '@example.com', 'user' || id, %(password_hash)s,
        first_name[1 + floor({first} * {len(FIRST_NAMES)})::int] || ' '
            || last_name[1 + floor({last} * {len(LAST_NAMES)})::int],
        CASE WHEN {drawn.format(3)} < 0.5 THEN 'https://images.example.com/avatars/' || id || '/large.png' END,
        CASE WHEN {drawn.format(4)} < 0.5 THEN 'I am number ' || id || ', and I like to write about things.' END,
        {BEGIN} - interval '1 year' + interval '1 year' * id / {layout.users},
        coalesce(posts_of.count, 0), coalesce(followers_of.count, 0), coalesce(following_of.count, 0)
    FROM generate_series(%(first)s::bigint, %(last)s) AS id
        LEFT JOIN posts_of USING (id) LEFT JOIN followers_of USING (id) LEFT JOIN following_of USING (id),
        (SELECT %(first_names)s, %(last_names)s) AS names(first_name, last_name)
    ORDER BY id
    """


def sessions(layout: Layout) -> str:
    """A session, with the id of its user, for all writers and readers."""
    return f"""
    INSERT INTO session (id, user_id, created_at, last_used_at, expires_at, family_hash, token_hash)
    SELECT id, id, {END}, {END}, timestamptz '2100-01-01 00:00Z',
        sha256(id::text::bytea), sha256(('token' || id)::bytea)
    FROM generate_series({layout.first_writer}::bigint, {layout.users}) AS id
    """


IDENTITIES = """
SELECT setval(pg_get_serial_sequence('"user"', 'id'), (SELECT max(id) FROM "user")),
    setval(pg_get_serial_sequence('post', 'id'), (SELECT max(id) FROM post)),
    setval(pg_get_serial_sequence('session', 'id'), (SELECT max(id) FROM session))
"""
