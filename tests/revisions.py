"""A Pamps that is one version newer: a copy of the source with one migration more."""

import shutil
from pathlib import Path

from pamps import schema
from tests.checkout import ROOT

LATER = "2999_12_31_later"
MIGRATION = f'''
"""A table more, which refers to one that was there."""

from alembic import op

revision = "{LATER}"
down_revision = "{schema.head()}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute('CREATE TABLE later (user_id bigint PRIMARY KEY REFERENCES "user" (id) ON DELETE CASCADE)')
    op.execute('INSERT INTO later SELECT id FROM "user"')


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE later")
'''


def later_version(folder: Path) -> Path:
    """The folder that has it, for PYTHONPATH."""
    shutil.copytree(ROOT / "pamps", folder / "pamps")
    (folder / "pamps" / "migrations" / "versions" / f"{LATER}.py").write_text(MIGRATION)
    return folder
