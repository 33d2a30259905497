"""Roles and suspension: what a suspended account wrote is hidden, as one column that its author's row decides."""

from alembic import op

revision = "2026_11_27g_suspension"
down_revision = "2026_11_27f_room_for_counters"
branch_labels = None
depends_on = None

USER = """
ALTER TABLE "user"
    ADD COLUMN role text DEFAULT 'user' NOT NULL,
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspended_reason text,
    ADD CONSTRAINT user_role_check CHECK (role IN ('user', 'moderator', 'admin')),
    ADD CONSTRAINT user_suspension_check CHECK ((suspended_at IS NULL) = (suspended_reason IS NULL));
CREATE INDEX user_admins ON "user" (id) WHERE role = 'admin';

-- One after the other, so that of two admins who demote each other at once the second sees what the first did.
CREATE FUNCTION user_keeps_an_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7246773002);
    IF NOT EXISTS (SELECT FROM "user" WHERE role = 'admin' AND suspended_at IS NULL) THEN
        RAISE check_violation USING CONSTRAINT = 'user_last_admin', MESSAGE = 'the last admin stays one';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER user_keeps_an_admin AFTER UPDATE OF role, suspended_at ON "user" FOR EACH ROW
WHEN (OLD.role = 'admin' AND OLD.suspended_at IS NULL AND (NEW.role <> 'admin' OR NEW.suspended_at IS NOT NULL))
EXECUTE FUNCTION user_keeps_an_admin();
"""

# The posts that somebody has just written are seen here: whoever writes one changes the author's row as well.
POST = """
DROP INDEX post_public, post_by_user, post_by_user_no_replies, post_replies;
ALTER TABLE post
    ADD COLUMN hidden boolean DEFAULT false NOT NULL,
    ADD CONSTRAINT post_hidden_check CHECK (NOT (hidden AND user_id IS NULL));
CREATE INDEX post_public ON post (id) WHERE parent_id IS NULL AND user_id IS NOT NULL AND NOT hidden;
CREATE INDEX post_by_user ON post (user_id, hidden, id);
CREATE INDEX post_by_user_no_replies ON post (user_id, id) WHERE parent_id IS NULL AND NOT hidden;
CREATE INDEX post_under ON post (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX post_replies ON post (parent_id, id) WHERE parent_id IS NOT NULL AND user_id IS NOT NULL AND NOT hidden;

CREATE FUNCTION user_suspended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE post SET hidden = NEW.suspended_at IS NOT NULL WHERE user_id = NEW.id;
    IF NEW.suspended_at IS NOT NULL THEN
        DELETE FROM session WHERE user_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER user_suspended AFTER UPDATE OF suspended_at ON "user" FOR EACH ROW
WHEN ((OLD.suspended_at IS NULL) <> (NEW.suspended_at IS NULL)) EXECUTE FUNCTION user_suspended();
"""

FUNCTIONS = """
CREATE OR REPLACE FUNCTION like_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE post SET like_count = like_count + 1 WHERE id = NEW.post_id AND user_id IS NOT NULL AND NOT hidden;
        IF NOT FOUND THEN
            RAISE foreign_key_violation USING CONSTRAINT = 'like_post_alive', MESSAGE = 'a tombstone takes no likes';
        END IF;
    ELSE
        UPDATE post SET like_count = like_count - 1 WHERE id = OLD.post_id;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION post_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.text := '';
    NEW.edited_at := NULL;
    NEW.hidden := false;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION post_counted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- What counted this among its replies, and what will. (Of an insert OLD is null, and NEW of a delete.)
    old_parent bigint := CASE WHEN OLD.user_id IS NOT NULL THEN OLD.parent_id END;
    new_parent bigint := CASE WHEN NEW.user_id IS NOT NULL THEN NEW.parent_id END;
    suspended boolean;
BEGIN
    IF old_parent IS NOT NULL AND old_parent IS DISTINCT FROM new_parent THEN
        UPDATE post SET reply_count = reply_count - 1 WHERE id = old_parent;
    END IF;
    IF new_parent IS NOT NULL AND new_parent IS DISTINCT FROM old_parent THEN
        UPDATE post SET reply_count = reply_count + 1 WHERE id = new_parent AND user_id IS NOT NULL AND NOT hidden;
        IF NOT FOUND THEN
            RAISE foreign_key_violation USING
                CONSTRAINT = 'post_parent_alive', MESSAGE = 'a tombstone takes no replies';
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.user_id IS NULL THEN
        DELETE FROM "like" WHERE post_id = NEW.id;
        PERFORM prune_tombstones(NEW.id);
    END IF;
    -- What is above a tombstone that prune_tombstones() took away is its own next step.
    IF TG_OP <> 'INSERT' AND (OLD.user_id IS NOT NULL OR pg_trigger_depth() = 1) THEN
        PERFORM prune_tombstones(OLD.parent_id);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE "user" SET post_count = post_count - 1 WHERE id = OLD.user_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE "user" SET post_count = post_count + 1 WHERE id = NEW.user_id
        RETURNING suspended_at IS NOT NULL INTO suspended;
        -- Who suspends the author at the same time either sees this post and hides it, or is waited for and seen here.
        UPDATE post SET hidden = suspended WHERE id = NEW.id AND hidden <> suspended;
    END IF;
    RETURN NULL;
END $$;
"""

FUNCTIONS_BEFORE = """
CREATE OR REPLACE FUNCTION like_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE post SET like_count = like_count + 1 WHERE id = NEW.post_id AND user_id IS NOT NULL;
        IF NOT FOUND THEN
            RAISE foreign_key_violation USING CONSTRAINT = 'like_post_alive', MESSAGE = 'a tombstone takes no likes';
        END IF;
    ELSE
        UPDATE post SET like_count = like_count - 1 WHERE id = OLD.post_id;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION post_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.text := '';
    NEW.edited_at := NULL;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION post_counted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- What counted this among its replies, and what will. (Of an insert OLD is null, and NEW of a delete.)
    old_parent bigint := CASE WHEN OLD.user_id IS NOT NULL THEN OLD.parent_id END;
    new_parent bigint := CASE WHEN NEW.user_id IS NOT NULL THEN NEW.parent_id END;
BEGIN
    IF old_parent IS NOT NULL AND old_parent IS DISTINCT FROM new_parent THEN
        UPDATE post SET reply_count = reply_count - 1 WHERE id = old_parent;
    END IF;
    IF new_parent IS NOT NULL AND new_parent IS DISTINCT FROM old_parent THEN
        UPDATE post SET reply_count = reply_count + 1 WHERE id = new_parent AND user_id IS NOT NULL;
        IF NOT FOUND THEN
            RAISE foreign_key_violation USING
                CONSTRAINT = 'post_parent_alive', MESSAGE = 'a tombstone takes no replies';
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.user_id IS NULL THEN
        DELETE FROM "like" WHERE post_id = NEW.id;
        PERFORM prune_tombstones(NEW.id);
    END IF;
    -- What is above a tombstone that prune_tombstones() took away is its own next step.
    IF TG_OP <> 'INSERT' AND (OLD.user_id IS NOT NULL OR pg_trigger_depth() = 1) THEN
        PERFORM prune_tombstones(OLD.parent_id);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE "user" SET post_count = post_count - 1 WHERE id = OLD.user_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE "user" SET post_count = post_count + 1 WHERE id = NEW.user_id;
    END IF;
    RETURN NULL;
END $$;
"""

DOWN = """
DROP TRIGGER user_suspended ON "user";
DROP TRIGGER user_keeps_an_admin ON "user";
DROP FUNCTION user_suspended, user_keeps_an_admin;
DROP INDEX post_public, post_by_user, post_by_user_no_replies, post_replies, post_under, user_admins;
ALTER TABLE post DROP CONSTRAINT post_hidden_check, DROP COLUMN hidden;
ALTER TABLE "user"
    DROP CONSTRAINT user_suspension_check,
    DROP CONSTRAINT user_role_check,
    DROP COLUMN suspended_reason,
    DROP COLUMN suspended_at,
    DROP COLUMN role;
CREATE INDEX post_public ON post (id) WHERE parent_id IS NULL AND user_id IS NOT NULL;
CREATE INDEX post_by_user ON post (user_id, id);
CREATE INDEX post_by_user_no_replies ON post (user_id, id) WHERE parent_id IS NULL;
CREATE INDEX post_replies ON post (parent_id, id);
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for step in (USER, POST, FUNCTIONS):
        op.get_bind().exec_driver_sql(step)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for step in (FUNCTIONS_BEFORE, DOWN):
        op.get_bind().exec_driver_sql(step)
