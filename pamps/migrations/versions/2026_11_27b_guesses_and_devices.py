"""Guesses at passwords, counted so that they can be slowed down; and the devices that are known."""

from alembic import op

revision = "2026_11_27b_guesses_and_devices"
down_revision = "2026_11_27_personal_tokens"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE attempt (
    key bytea NOT NULL,
    failures double precision NOT NULL,
    last_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT attempt_pkey PRIMARY KEY (key)
);
CREATE INDEX attempt_by_last_at ON attempt (last_at);

CREATE TABLE device (
    user_id bigint NOT NULL,
    network text NOT NULL,
    last_seen timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT device_pkey PRIMARY KEY (user_id, network),
    CONSTRAINT device_user_id_fkey FOREIGN KEY (user_id) REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE INDEX device_by_last_seen ON device (last_seen);
"""

# A hash, for some type their password where the username belongs, and that should lie nowhere.
KEY = """
CREATE FUNCTION attempt_key(kind text, name text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sha256(convert_to(kind || ':' || lower(name COLLATE "C"), 'UTF8'));
"""

# Seconds until the next guess may be made: after `free` failures the first delay, and twice as long with each more.
# A clock that was set back (elapsed is then negative) holds nobody up for longer than a delay or two.
WAIT = """
CREATE FUNCTION attempt_wait(
    failures double precision, last_at timestamptz,
    free integer, first_delay double precision, longest_delay double precision
) RETURNS double precision LANGUAGE sql AS $$
    SELECT CASE WHEN round(failures) < free THEN 0 ELSE greatest(
        0,
        least(longest_delay, first_delay * power(2, least(round(failures) - free, 40)))
            - abs(extract(epoch FROM clock_timestamp() - last_at)::double precision)
    ) END
$$;
"""

# Counts a guess by all of its keys (those that are null are left out), or by none and says how many seconds too early
# it is; 0 if it was counted. What is read first spares a guess that is refused all writing. The rows are then locked,
# in the order of their keys so that nobody waits for one another for ever, and looked at again: of guesses that come
# at once each sees those before it. What was counted fades evenly, and has gone after `forgotten_after` of quiet.
# (It is swept by now(), since what clock_timestamp() is compared with is not looked up in an index.)
COUNT = """
CREATE FUNCTION count_guess(
    keys bytea[], free integer[],
    first_delay double precision, longest_delay double precision, forgotten_after double precision
) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    wait double precision;
    mine record;
    known attempt;
BEGIN
    SELECT max(attempt_wait(attempt.failures, attempt.last_at, counted.free, first_delay, longest_delay)) INTO wait
    FROM unnest(keys, count_guess.free) AS counted (key, free) JOIN attempt ON attempt.key = counted.key;
    IF wait > 0 THEN
        RETURN wait;
    END IF;
    DELETE FROM attempt WHERE key = ANY (ARRAY(
        SELECT key FROM attempt WHERE last_at < now() - make_interval(secs => forgotten_after)
        ORDER BY last_at LIMIT 10 FOR UPDATE SKIP LOCKED
    ));
    wait := 0;
    FOR mine IN
        SELECT * FROM unnest(keys, count_guess.free) AS counted (key, free)
        WHERE counted.key IS NOT NULL ORDER BY counted.key
    LOOP
        INSERT INTO attempt AS already (key, failures) VALUES (mine.key, 0)
        ON CONFLICT (key) DO UPDATE SET failures = already.failures RETURNING * INTO known;
        wait := greatest(wait, attempt_wait(known.failures, known.last_at, mine.free, first_delay, longest_delay));
    END LOOP;
    IF wait = 0 THEN
        UPDATE attempt SET last_at = clock_timestamp(), failures = 1 + failures * greatest(
            0, 1 - greatest(0, extract(epoch FROM clock_timestamp() - last_at)) / forgotten_after
        ) WHERE key = ANY (keys);
    END IF;
    RETURN wait;
END $$;
"""

# For whoever has shown that they know the password, or may set another: all failures at their account are forgotten,
# by either of its names and on every known device, and by one more key. Of `partly`, the key of an address, only the
# one guess that was right is taken back: else an account of one's own would clear away what was guessed at others.
FORGIVE = """
CREATE FUNCTION forgive_guesses(of_user bigint, also bytea DEFAULT NULL, partly bytea DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    keys bytea[] := also || ARRAY(
        SELECT attempt_key('login', username) FROM "user" WHERE id = of_user
        UNION ALL SELECT attempt_key('login', email) FROM "user" WHERE id = of_user
        UNION ALL SELECT attempt_key('device', of_user || ' ' || network) FROM device WHERE user_id = of_user
    );
BEGIN
    PERFORM FROM attempt WHERE key = ANY (keys || partly) ORDER BY key FOR UPDATE;
    DELETE FROM attempt WHERE key = ANY (keys);
    UPDATE attempt SET failures = greatest(0, failures - 1) WHERE key = partly;
END $$;

-- For a guess that was neither right nor wrong: the password was, and the code is still to come.
CREATE FUNCTION take_back_guess(keys bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM attempt WHERE key = ANY (keys) ORDER BY key FOR UPDATE;
    UPDATE attempt SET failures = greatest(0, failures - 1) WHERE key = ANY (keys);
END $$;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for step in (TABLES, KEY, WAIT, COUNT, FORGIVE):
        op.get_bind().exec_driver_sql(step)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE attempt, device")
    op.execute("DROP FUNCTION attempt_key, attempt_wait, count_guess, forgive_guesses, take_back_guess")
