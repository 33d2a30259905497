"""The answers to requests with an Idempotency-Key, kept so that the same request gets the same answer."""

from alembic import op

revision = "2026_11_27c_idempotency_keys"
down_revision = "2026_11_27b_guesses_and_devices"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE idempotency_key (
    id bytea NOT NULL,
    user_id bigint,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    headers jsonb NOT NULL,
    answer bytea NOT NULL,
    CONSTRAINT idempotency_key_pkey PRIMARY KEY (id),
    CONSTRAINT idempotency_key_answer_check CHECK (octet_length(answer) <= 1000000),
    CONSTRAINT idempotency_key_user_id_fkey FOREIGN KEY (user_id) REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE INDEX idempotency_key_by_user ON idempotency_key (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX idempotency_key_by_age ON idempotency_key (created_at);
"""

# Who comes while another request with the key is running is told so, and does not wait. Each look sees what has been
# committed by then: a statement by itself would have the lock, and not see what its last holder wrote.
CLAIM = """
CREATE FUNCTION claim_idempotency_key(
    wanted bytea, kept interval, OUT held boolean, OUT fingerprint bytea, OUT status smallint, OUT headers jsonb,
    OUT answer bytea
) LANGUAGE plpgsql AS $$
DECLARE
    known idempotency_key;
    lock bigint := ('x' || encode(substr(wanted, 1, 8), 'hex'))::bit(64)::bigint;
BEGIN
    SELECT * INTO known FROM idempotency_key WHERE id = wanted AND created_at > clock_timestamp() - kept;
    held := known.id IS NULL AND pg_try_advisory_xact_lock(lock);
    IF held THEN
        DELETE FROM idempotency_key WHERE id = wanted AND created_at <= clock_timestamp() - kept;
        SELECT * INTO known FROM idempotency_key WHERE id = wanted;
    END IF;
    fingerprint := known.fingerprint;
    status := known.status;
    headers := known.headers;
    answer := known.answer;
END $$;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.get_bind().exec_driver_sql(TABLE)
    op.get_bind().exec_driver_sql(CLAIM)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION claim_idempotency_key")
    op.execute("DROP TABLE idempotency_key")
