"""What all processes together count for the rate limits: the table tally."""

from alembic import op

revision = "2026_11_27d_tally"
down_revision = "2026_11_27c_idempotency_keys"
branch_labels = None
depends_on = None

# Unlogged: it is written every second, and worth no wait for the disk; a crash of PostgreSQL empties it.
TALLY = """
CREATE UNLOGGED TABLE tally (
    name text COLLATE "C" NOT NULL,
    ends_at timestamptz NOT NULL,
    total bigint NOT NULL,
    CONSTRAINT tally_pkey PRIMARY KEY (name, ends_at)
);
CREATE INDEX tally_by_end ON tally (ends_at);
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.get_bind().exec_driver_sql(TALLY)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE tally")
