"""The tables have the columns of the layout."""

from __future__ import annotations

import sqlalchemy as sa

from kilter.stores.sql.layout import LAYOUT
from kilter.stores.sql.table import REVISION_TABLE, metadata, triggers


def test_each_kind_has_its_table() -> None:
    assert set(metadata().tables) == {*(layout.table for layout in LAYOUT), REVISION_TABLE}


def test_filterable_fields_are_indexed_columns_in_the_order_of_lists() -> None:
    for layout in LAYOUT:
        table = metadata().tables[layout.table]
        indexed = {tuple(column.name for column in index.columns) for index in table.indexes}
        assert indexed == {(name, "id") for name in layout.columns}
        assert ("version" in table.columns) == layout.is_mutable
        assert isinstance(table.columns["body"].type, sa.Text)


def test_the_audit_table_refuses_update_and_delete() -> None:
    assert [statement.split()[4] for statement in triggers()] == ["UPDATE", "DELETE"]
