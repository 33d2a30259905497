"""More rules: the last admin does not leave, and an account has a hundred personal tokens at most."""

from alembic import op

revision = "2026_11_27h_more_rules"
down_revision = "2026_11_27g_suspension"
branch_labels = None
depends_on = None

UP = """
CREATE TRIGGER user_keeps_an_admin_left AFTER DELETE ON "user" FOR EACH ROW
WHEN (OLD.role = 'admin' AND OLD.suspended_at IS NULL) EXECUTE FUNCTION user_keeps_an_admin();

-- Of one account one after the other, so that of two who make the last one at once the second sees that of the first.
CREATE FUNCTION session_is_not_too_many() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM "user" WHERE id = NEW.user_id FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM session WHERE user_id = NEW.user_id AND name IS NOT NULL) >= 100 THEN
        RAISE check_violation USING
            CONSTRAINT = 'session_not_too_many', MESSAGE = 'an account has at most 100 personal tokens';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER session_is_not_too_many BEFORE INSERT ON session FOR EACH ROW
WHEN (NEW.name IS NOT NULL) EXECUTE FUNCTION session_is_not_too_many();
"""
DOWN = """
DROP TRIGGER session_is_not_too_many ON session;
DROP FUNCTION session_is_not_too_many;
DROP TRIGGER user_keeps_an_admin_left ON "user";
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.get_bind().exec_driver_sql(UP)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.get_bind().exec_driver_sql(DOWN)
