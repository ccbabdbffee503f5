"""The tables of the SQL stores, made from the layout."""

from __future__ import annotations

from functools import cache

import sqlalchemy as sa

from kilter.stores.sql.layout import LAYOUT, KindLayout

__all__ = ["REVISION_TABLE", "metadata", "triggers"]

REVISION_TABLE = "alembic_version"
"""Holds the one revision that the schema is at."""


@cache
def metadata() -> sa.MetaData:
    """Return all tables: ``id``, ``version`` of mutable kinds, the filterable fields, the whole record as ``body``."""
    catalogue = sa.MetaData()
    for layout in LAYOUT:
        _table(layout, catalogue)
    sa.Table(REVISION_TABLE, catalogue, sa.Column("version_num", sa.String(32), primary_key=True))
    return catalogue


def triggers() -> tuple[str, ...]:
    """Return the statements that make the audit table append-only, for SQLite."""
    return (
        (
            "CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit "
            "BEGIN SELECT RAISE(ABORT, 'audit rows cannot change'); END"
        ),
        (
            "CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit "
            "BEGIN SELECT RAISE(ABORT, 'audit rows cannot be deleted'); END"
        ),
    )


def _table(layout: KindLayout, catalogue: sa.MetaData) -> None:
    """Add the table of one kind, with one index per filterable field that ends in the order of lists."""
    sa.Table(
        layout.table,
        catalogue,
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column("version", sa.Integer, nullable=False) for _ in range(layout.is_mutable)),
        *(sa.Column(name, sa.Text) for name in layout.texts),
        *(sa.Column(name, sa.BigInteger) for name in layout.numbers),
        sa.Column("body", sa.Text, nullable=False),
        *(sa.UniqueConstraint(*names, name=f"uq_{layout.table}_{'_'.join(names)}") for names in layout.unique),
        *(sa.Index(f"ix_{layout.table}_{name}", name, "id") for name in layout.columns),
    )
