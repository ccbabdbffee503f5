"""The first schema: one table per kind of record."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# table: (is mutable, text columns, integer columns, unique groups). Frozen: later changes are later revisions.
TABLES: dict[str, tuple[bool, tuple[str, ...], tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "models": (True, ("name", "owner", "risk"), (), (("name",),)),
    "model_versions": (
        False,
        ("model_id", "model_name", "digest", "origin", "trigger_id"),
        ("number", "parent_number"),
        (("model_id", "number"), ("model_id", "digest")),
    ),
    "check_runs": (False, ("version_id", "model_name", "data_name", "data_digest", "state"), ("number",), ()),
    "deployments": (True, (), ("champion", "previous", "generation"), ()),
    "holds": (True, ("deployment", "digest", "metric", "created_by", "released_by"), ("number", "released_at"), ()),
    "rollouts": (True, ("deployment", "state", "origin"), ("champion", "candidate", "step", "finished_at"), ()),
    "rollout_steps": (False, ("rollout_id", "deployment", "from_state", "to_state", "event"), ("step",), ()),
    "windows": (True, ("deployment", "trust"), ("number", "is_mature", "start_at", "end_at", "closed_at"), ()),
    "signals": (True, ("deployment", "family", "name"), ("number", "last_window"), ()),
    "alerts": (
        True,
        ("deployment", "family", "severity", "acknowledged_by", "closed_reason"),
        ("number", "window", "closed_at"),
        (),
    ),
    "decisions": (False, ("key", "deployment", "kind", "command", "by"), (), (("key",),)),
    "outbox": (True, ("topic", "subject"), ("is_done", "is_parked"), ()),
    "leases": (True, ("holder",), ("token",), ()),
    "jobs": (True, ("kind", "deployment", "state"), (), ()),
    "triggers": (True, ("deployment", "state", "reason", "command"), ("parent", "is_manual", "candidate"), ()),
    "audit": (False, ("by", "action", "subject"), (), ()),
    "log_segments": (False, ("digest",), (), ()),
    "log_parts": (False, ("deployment", "kind", "date", "path"), (), ()),
}

AUDIT = (
    (
        "CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'audit rows cannot change'); END"
    ),
    (
        "CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'audit rows cannot be deleted'); END"
    ),
)


def upgrade() -> None:
    """Make the tables."""
    for table, (is_mutable, texts, numbers, unique) in TABLES.items():
        op.create_table(
            table,
            sa.Column("id", sa.Text, primary_key=True, nullable=False),
            *(sa.Column("version", sa.Integer, nullable=False) for _ in range(is_mutable)),
            *(sa.Column(name, sa.Text) for name in texts),
            *(sa.Column(name, sa.BigInteger) for name in numbers),
            sa.Column("body", sa.Text, nullable=False),
            *(sa.UniqueConstraint(*names, name=f"uq_{table}_{'_'.join(names)}") for names in unique),
        )
        for name in (*texts, *numbers):
            op.create_index(f"ix_{table}_{name}", table, [name, "id"])
    for statement in AUDIT:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    for table in TABLES:
        op.drop_table(table)
