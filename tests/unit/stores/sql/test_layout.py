"""Which kinds are stored, and what they are filtered by."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from kilter.contracts.decision import Lease
from kilter.contracts.evidence import AuditRow
from kilter.contracts.monitor import Severity
from kilter.stores.sql.layout import LAYOUT, KindLayout, check_limit, column_value, layout_of

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("layout", LAYOUT, ids=lambda layout: layout.table)
def test_every_column_is_a_field_of_its_kind(layout: KindLayout) -> None:
    names = {field.name for field in dataclasses.fields(layout.kind)}  # type: ignore[arg-type]
    assert {"id", *layout.columns} <= names
    assert {name for group in layout.unique for name in group} <= set(layout.columns)
    assert len(set(layout.columns)) == len(layout.columns)


@pytest.mark.parametrize("layout", LAYOUT, ids=lambda layout: layout.table)
def test_every_kind_is_a_frozen_record(layout: KindLayout) -> None:
    assert layout.kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_no_two_kinds_share_a_table() -> None:
    assert len({layout.table for layout in LAYOUT}) == len({layout.kind for layout in LAYOUT}) == len(LAYOUT)


def test_only_versioned_kinds_can_change() -> None:
    assert layout_of(Lease).is_mutable
    assert not layout_of(AuditRow).is_mutable


def test_what_is_not_stored_is_refused() -> None:
    with pytest.raises(ValueError, match="int is not a kind"):
        layout_of(int)


def test_a_row_holds_the_columns_and_the_version() -> None:
    lease = Lease(id="a", holder="h", token=3, expires_at=AT, version=2)
    assert layout_of(Lease).row(lease) == {"id": "a", "version": 2, "holder": "h", "token": 3}


def test_columns_hold_text_integers_truths_and_times() -> None:
    values = [None, Severity.PAGE, "a", 3, True, datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)]
    found = [column_value(value) for value in values]
    assert found == [None, "page", "a", 3, 1, 1_000_005]
    assert [type(value) for value in found[1:]] == [str, str, int, int, int]


def test_columns_hold_nothing_else() -> None:
    with pytest.raises(ValueError, match="not float"):
        column_value(1.5)


def test_a_filter_names_the_fields_it_may_use() -> None:
    with pytest.raises(ValueError, match=r"Lease is not filtered by x, only by holder, id, token, version"):
        layout_of(Lease).conditions({"x": 1})
    assert layout_of(Lease).conditions({"id": "a", "version": 1}) == {"id": "a", "version": 1}
    assert layout_of(Lease).conditions(None) == {}


@pytest.mark.parametrize("limit", [0, -1, 5_001])
def test_a_page_has_1_to_5000_records(limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        check_limit(limit)
