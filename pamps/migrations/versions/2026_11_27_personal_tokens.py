"""Sessions that are personal tokens: they have a name and scopes, and no refresh token."""

from alembic import op

revision = "2026_11_27_personal_tokens"
down_revision = "2026_11_27_mail"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE session
    ADD COLUMN name text,
    ADD COLUMN scopes text[],
    ALTER COLUMN family_hash DROP NOT NULL,
    ADD CONSTRAINT session_kind_check CHECK
        ((name IS NULL) = (scopes IS NULL) AND (name IS NULL) = (family_hash IS NOT NULL)),
    ADD CONSTRAINT session_scopes_check CHECK (scopes <@ '{read,write,admin}' AND cardinality(scopes) > 0);
CREATE INDEX session_personal ON session (user_id, id) WHERE name IS NOT NULL;
CREATE UNIQUE INDEX session_name_key ON session (user_id, name) WHERE name IS NOT NULL;
"""
# To the version before, a personal token is nothing.
DOWN = """
DELETE FROM session WHERE name IS NOT NULL;
DROP INDEX session_name_key, session_personal;
ALTER TABLE session
    DROP CONSTRAINT session_scopes_check,
    DROP CONSTRAINT session_kind_check,
    ALTER COLUMN family_hash SET NOT NULL,
    DROP COLUMN scopes,
    DROP COLUMN name;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.get_bind().exec_driver_sql(UP)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.get_bind().exec_driver_sql(DOWN)
