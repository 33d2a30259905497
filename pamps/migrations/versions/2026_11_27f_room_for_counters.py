"""Room on the pages of posts and users for new versions of their rows, so that a counter changes without any index.

A version that fits on its row's page is found by way of the old one (heap-only tuples, HOT, in PostgreSQL's manual),
and those that nobody can see any more are cleared away by whoever comes by next. Otherwise each like enters its post
into all of its indexes anew. It holds for pages that are filled from now on.
"""

from alembic import op

revision = "2026_11_27f_room_for_counters"
down_revision = "2026_11_27e_two_factor"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE post SET (fillfactor = 95)")
    op.execute('ALTER TABLE "user" SET (fillfactor = 90)')


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE post RESET (fillfactor)")
    op.execute('ALTER TABLE "user" RESET (fillfactor)')
