"""Parts of the log can be superseded by a larger one, and deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("superseded_at", "deleted_at")


def upgrade() -> None:
    """Add what a part that is no longer read says of itself."""
    with op.batch_alter_table("log_parts", recreate="always") as table:
        table.add_column(sa.Column("version", sa.Integer, nullable=False, server_default="1"), insert_after="id")
        table.add_column(sa.Column("superseded_at", sa.BigInteger), insert_after="path")
        table.add_column(sa.Column("deleted_at", sa.BigInteger), insert_after="superseded_at")
    with op.batch_alter_table("log_parts", recreate="always") as table:
        table.alter_column("version", server_default=None)
    for name in COLUMNS:
        op.create_index(f"ix_log_parts_{name}", "log_parts", [name, "id"])


def downgrade() -> None:
    """Take the columns away; superseded parts would be read again, so their rows go."""
    parts = sa.table("log_parts", sa.column("superseded_at"))
    op.execute(sa.delete(parts).where(parts.c.superseded_at.is_not(None)))
    for name in COLUMNS:
        op.drop_index(f"ix_log_parts_{name}", "log_parts")
    with op.batch_alter_table("log_parts", recreate="always") as table:
        for name in (*COLUMNS, "version"):
            table.drop_column(name)
