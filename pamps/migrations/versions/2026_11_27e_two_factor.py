"""The second factor of accounts that have one."""

from alembic import op

revision = "2026_11_27e_two_factor"
down_revision = "2026_11_27d_tally"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE two_factor (
    user_id bigint NOT NULL,
    secret text NOT NULL,
    enabled_at timestamptz,
    last_step bigint DEFAULT 0 NOT NULL,
    recovery_codes text[] DEFAULT '{}' NOT NULL,
    CONSTRAINT two_factor_pkey PRIMARY KEY (user_id),
    CONSTRAINT two_factor_user_id_fkey FOREIGN KEY (user_id) REFERENCES "user" (id) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.get_bind().exec_driver_sql(TABLE)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE two_factor")
