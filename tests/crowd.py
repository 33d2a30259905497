"""A crowd of some size, for looking at plans: made in a second or two.

Some have the same part in it at every size, so what they ask for costs the same, unless the size of a table matters.
"""

from benchmarks.data import connected

STAR = 1  # everybody but NOSTALGIC follows them, and every fifth post is theirs
FAN = 2  # follows STAR and 49 of the active
KEEN = 3  # follows STAR and the 300 active
NOSTALGIC = 4  # follows the 300 silent, and has thousands of personal tokens
EVERYWHERE = 5  # follows everybody, likes everything, and is signed in on thousands of devices
BEGINNER = 7  # has begun a second factor, which is not on; that of every other one is
ADMIN = 8
NEWCOMER = 6  # wrote ALONE, the one post without a reply
ACTIVE, SILENT, OTHERS = 101, 401, 701  # the first of 300, of 300, and of the rest

HOT = 1  # everybody likes this post, and of those that are not old every sixth replies to it
ALONE = 2
USERS, POSTS, OLD_POSTS = 1000, 5000, 600  # of a crowd of size 1; the old posts are by the silent, who wrote no other

PASSWORD_HASH = "hash"
SECRET = "secret"
PERSONAL_ID = 1_000_000_000  # of the first personal token
HOME = "198.51.100.0/24"
TABLES = ('"user"', "post", "social", '"like"', "session")

USER = f"""
INSERT INTO "user" (email, username, password_hash, role, name)
SELECT 'user' || n || '@example.com', 'user' || n, '{PASSWORD_HASH}', CASE n WHEN {ADMIN} THEN 'admin' ELSE 'user' END,
    CASE WHEN n %% 100 = 1 THEN 'Zoë ' || n ELSE 'Name ' || n END
FROM generate_series(1, %(users)s) AS n
"""
POST = f"""
INSERT INTO post (user_id, parent_id, text)
SELECT CASE
        WHEN n = {HOT} THEN {STAR}
        WHEN n = {ALONE} THEN {NEWCOMER}
        WHEN n <= %(old_posts)s THEN {SILENT} + n %% 300
        WHEN n %% 5 = 0 THEN {STAR}
        WHEN n %% 5 < 3 THEN {ACTIVE} + n * 7919 %% 300
        ELSE {OTHERS} + n * 7919 %% (%(users)s - {OTHERS} + 1) END,
    CASE WHEN n <= %(old_posts)s OR n %% 3 > 0 THEN NULL WHEN n %% 2 = 0 THEN {HOT} ELSE n - 1 - n * 7919 %% 90 END,
    'This is post ' || n || ', and it says what a post of ordinary length says to those who come by and read it.'
FROM generate_series(1, %(posts)s) AS n
"""
SOCIAL = f"""
INSERT INTO social (follower_id, followed_id)
SELECT follower, followed FROM (
    SELECT n, {STAR} FROM generate_series(2, %(users)s) AS n WHERE n <> {NOSTALGIC}
    UNION SELECT {FAN}, {ACTIVE} + n FROM generate_series(0, 48) AS n
    UNION SELECT {KEEN}, {ACTIVE} + n FROM generate_series(0, 299) AS n
    UNION SELECT {NOSTALGIC}, {SILENT} + n FROM generate_series(0, 299) AS n
    UNION SELECT {EVERYWHERE}, n FROM generate_series(1, %(users)s) AS n
    UNION SELECT n, {OTHERS} + (n * 31 + k * 7919) %% (%(users)s - {OTHERS} + 1)
    FROM generate_series({OTHERS}, %(users)s) AS n, generate_series(1, 3) AS k
) AS edge (follower, followed) WHERE follower <> followed
"""
LIKE = f"""
INSERT INTO "like" (user_id, post_id)
SELECT n, {HOT} FROM generate_series(1, %(users)s) AS n
UNION SELECT {EVERYWHERE}, n FROM generate_series(1, %(posts)s) AS n
UNION SELECT {OTHERS} + n * 31 %% (%(users)s - {OTHERS} + 1), n FROM generate_series(1, %(posts)s) AS n
"""
# The session of each has the id of its user.
SESSION = f"""
INSERT INTO session (user_id, expires_at, family_hash, token_hash)
SELECT CASE WHEN n > %(users)s THEN {EVERYWHERE} ELSE n END, now() + interval '1 day',
    sha256(('family' || n)::bytea), sha256(('token' || n)::bytea)
FROM generate_series(1, %(users)s * 7 / 4) AS n
"""
# The proofs of these are known.
PERSONAL = f"""
INSERT INTO session (id, user_id, expires_at, token_hash, name, scopes)
SELECT {PERSONAL_ID} + n, {NOSTALGIC}, now() + interval '1 day', sha256(('personal' || n)::bytea), 'token ' || n,
    '{{read}}' FROM generate_series(0, 2099) AS n
"""
# Everybody is known at home and, if not today, then in a few places more; and somebody guesses at everybody.
DEVICE = f"""
INSERT INTO device (user_id, network, last_seen)
SELECT n, CASE k WHEN 0 THEN '{HOME}' ELSE '203.0.' || k || '.0/24' END, now() - k * interval '1 hour'
FROM generate_series(1, %(users)s) AS n, generate_series(0, 3) AS k
"""
TWO_FACTOR = f"""
INSERT INTO two_factor (user_id, secret, enabled_at)
SELECT n, '{SECRET}', CASE WHEN n <> {BEGINNER} THEN now() END FROM generate_series(1, %(users)s) AS n
WHERE n <> {NEWCOMER}
"""
ATTEMPT = """
INSERT INTO attempt (key, failures, last_at)
SELECT attempt_key('login', 'user' || n), 3, now() - n * interval '1 second' FROM generate_series(1, %(users)s) AS n
"""
# Of everybody a kept answer; those of a hundred are old.
KEPT_ANSWER = """
INSERT INTO idempotency_key (id, user_id, created_at, fingerprint, status, headers, answer)
SELECT sha256(('key' || n)::bytea), n,
    now() - CASE WHEN n %% 10 = 1 AND n <= 1000 THEN 48 ELSE 1 END * interval '1 hour',
    sha256('x'), 201, '{"content-type": "application/json"}', repeat('x', 200)::bytea
FROM generate_series(1, %(users)s) AS n
"""
TALLY = """
INSERT INTO tally (name, ends_at, total)
SELECT 'LIMITER/read/user ' || n || '/600/1/minute/29932440', '2100-01-01', 1 FROM generate_series(1, %(users)s) AS n
"""
# Links of both kinds, the hash of whose token is that of kind and user; mail that is sent, and mail that was given up.
LINK = """
INSERT INTO link (user_id, kind, email, token_hash, expires_at, spaced_until)
SELECT id, kind, email, sha256((kind || id)::bytea), now() + interval '1 day', now()
FROM "user", unnest('{verification,password_reset}'::text[]) AS kind
"""
MAIL = """
INSERT INTO pgqueuer (priority, entrypoint, status, updated)
SELECT 0, 'mail', 'failed', now() - n %% 40 * interval '1 day' FROM generate_series(1, %(users)s) AS n
"""
MAIL_LOG = """
INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint, created)
SELECT n, 'failed', 0, 'mail', now() - CASE WHEN n = 31 THEN 31 ELSE n %% 20 END * interval '1 day'
FROM generate_series(1, %(users)s) AS n
"""
# The one counter that a statement goes by.
FOLLOWING = f"""
UPDATE "user" SET following_count = (SELECT count(*) FROM social WHERE follower_id = id) WHERE id < {ACTIVE}
"""


def gather(uri: str, size: int) -> None:
    """Fill an empty, migrated database. The triggers are away: counting one by one would take most of the time."""
    numbers = {"users": size * USERS, "posts": size * POSTS, "old_posts": size * OLD_POSTS}
    with connected(uri) as cursor:
        cursor.execute("SET synchronous_commit = on")  # else VACUUM, right after, can't tell that all may see the rows
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for step in (
            USER,
            POST,
            SOCIAL,
            LIKE,
            SESSION,
            PERSONAL,
            DEVICE,
            TWO_FACTOR,
            ATTEMPT,
            LINK,
            MAIL,
            MAIL_LOG,
            KEPT_ANSWER,
            TALLY,
            FOLLOWING,
        ):
            cursor.execute(step, numbers)
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        cursor.execute("VACUUM (ANALYZE)")


def suspend(uri: str, count: int) -> None:
    """Suspend so many of a crowd of size 1, the newest. What they wrote stays as it is."""
    with connected(uri) as cursor:
        cursor.execute("SET synchronous_commit = on")
        cursor.execute('ALTER TABLE "user" DISABLE TRIGGER USER')
        suspended = """UPDATE "user" SET suspended_at = now(), suspended_reason = 'Spam.' WHERE id > %s"""
        cursor.execute(suspended, (USERS - count,))
        cursor.execute('ALTER TABLE "user" ENABLE TRIGGER USER')
        cursor.execute("VACUUM (FULL, ANALYZE)")
