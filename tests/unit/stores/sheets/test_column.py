"""Cells find their type, and no cell is lost on the way."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from kilter.contracts.signature import ColumnType
from kilter.errors import SchemaMismatch
from kilter.stores.sheets.column import Typed, from_arrow, from_text, from_values

if TYPE_CHECKING:
    from collections.abc import Sequence

NAN = math.nan


def text(*cells: str) -> Typed:
    return from_text(pa.chunked_array([pa.array(cells[:1], pa.string()), pa.array(cells[1:], pa.string())]))


def arrow(cells: Sequence[object], kind: pa.DataType) -> Typed:
    return from_arrow("x", pa.chunked_array([pa.array(cells, kind)]))


def same(typed: Typed, kind: ColumnType, cells: Sequence[object]) -> None:
    """Claim that a column has this type and these cells."""
    found, array = typed
    assert found is kind
    if kind is ColumnType.TEXT:
        assert array.dtype == object
        assert list(array) == cells
    else:
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, np.array(cells, dtype=float))


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (("1", "-2", "3"), ColumnType.INTEGER, [1, -2, 3]),
        (("1", "", "NA"), ColumnType.INTEGER, [1, NAN, NAN]),
        (("1.5", "2", "1e3"), ColumnType.FLOAT, [1.5, 2, 1000]),
        ((" 1", "2 "), ColumnType.INTEGER, [1, 2]),
        (("+1", "2"), ColumnType.INTEGER, [1, 2]),
        (("", "null"), ColumnType.FLOAT, [NAN, NAN]),
        (("true", "False", "", "TRUE"), ColumnType.BOOLEAN, [1, 0, NAN, 1]),
        (("true", "1"), ColumnType.TEXT, ["true", "1"]),
        (("a", "", "b", "a"), ColumnType.TEXT, ["a", None, "b", "a"]),
        ((" a", " "), ColumnType.TEXT, [" a", " "]),
        (("0x10", "1"), ColumnType.TEXT, ["0x10", "1"]),
        (("2011-01-01", "2011-01-02 05:00"), ColumnType.TEXT, ["2011-01-01", "2011-01-02 05:00"]),
        (("9007199254740993", "1"), ColumnType.TEXT, ["9007199254740993", "1"]),
        (("9007199254740992", "1"), ColumnType.INTEGER, [2**53, 1]),
        (("99999999999999999999", "1"), ColumnType.TEXT, ["99999999999999999999", "1"]),
        (("12,5", "1"), ColumnType.TEXT, ["12,5", "1"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_text_finds_its_type(cells: tuple[str, ...], kind: ColumnType, expected: list[object]) -> None:
    same(text(*cells), kind, expected)


def test_few_blank_cells_among_numbers_are_missing() -> None:
    same(text(*["1.5"] * 98, " ", "  "), ColumnType.FLOAT, [1.5] * 98 + [NAN, NAN])


def test_many_blank_cells_among_numbers_make_text() -> None:
    same(text(*["1.5"] * 97, *[" "] * 3), ColumnType.TEXT, ["1.5"] * 97 + [" "] * 3)


def test_one_word_among_numbers_makes_text() -> None:
    assert text(*["1"] * 999, "?")[0] is ColumnType.TEXT


@pytest.mark.parametrize(
    ("cells", "arrow_type", "kind", "expected"),
    [
        ([True, None, False], pa.bool_(), ColumnType.BOOLEAN, [1, NAN, 0]),
        ([1, None], pa.int8(), ColumnType.INTEGER, [1, NAN]),
        ([2**53 + 1, None], pa.int64(), ColumnType.TEXT, ["9007199254740993", None]),
        ([-(2**63), 1], pa.int64(), ColumnType.TEXT, [str(-(2**63)), "1"]),
        ([2**64 - 1], pa.uint64(), ColumnType.TEXT, [str(2**64 - 1)]),
        ([1.5, None, NAN], pa.float32(), ColumnType.FLOAT, [1.5, NAN, NAN]),
        ([Decimal("1.25"), None], pa.decimal128(6, 2), ColumnType.FLOAT, [1.25, NAN]),
        ([None, None], pa.null(), ColumnType.FLOAT, [NAN, NAN]),
        (["a", None, ""], pa.large_string(), ColumnType.TEXT, ["a", None, ""]),
        (["a", None], pa.string_view(), ColumnType.TEXT, ["a", None]),
        (["b", None, "b"], pa.dictionary(pa.int8(), pa.string()), ColumnType.TEXT, ["b", None, "b"]),
        ([date(2020, 1, 2), None], pa.date32(), ColumnType.TEXT, ["2020-01-02", None]),
        ([date(2020, 1, 2)], pa.date64(), ColumnType.TEXT, ["2020-01-02"]),
        ([time(1, 2, 3)], pa.time32("s"), ColumnType.TEXT, ["01:02:03"]),
        ([datetime(2020, 1, 2, 3, 4, 5)], pa.timestamp("ns"), ColumnType.TEXT, ["2020-01-02T03:04:05"]),  # noqa: DTZ001
        (
            [datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC)],
            pa.timestamp("us", tz="Europe/Berlin"),
            ColumnType.TEXT,
            ["2020-01-02T03:04:05.000006+00:00"],
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_typed_columns_are_carried_over(
    cells: list[object], arrow_type: pa.DataType, kind: ColumnType, expected: list[object]
) -> None:
    same(arrow(cells, arrow_type), kind, expected)


@pytest.mark.parametrize(
    ("cells", "arrow_type"),
    [([[1]], pa.list_(pa.int8())), ([b"x"], pa.binary()), ([timedelta(1)], pa.duration("s"))],
    ids=["list", "binary", "duration"],
)
def test_what_no_model_takes_is_refused_by_name(cells: list[object], arrow_type: pa.DataType) -> None:
    with pytest.raises(SchemaMismatch, match="column `x` holds") as caught:
        arrow(cells, arrow_type)
    assert caught.value.details == {"field": "x"}


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, 3], ColumnType.INTEGER, [1, NAN, 3]),
        ([1, 2.5], ColumnType.FLOAT, [1, 2.5]),
        ([None, None], ColumnType.FLOAT, [NAN, NAN]),
        ([True, None], ColumnType.BOOLEAN, [1, NAN]),
        ([True, 1, 0.5, None, 2.0], ColumnType.TEXT, ["true", "1", "0.5", None, "2"]),
        ([False, "a"], ColumnType.TEXT, ["false", "a"]),
        (["a", ""], ColumnType.TEXT, ["a", ""]),
        ([2**60, 1, None], ColumnType.TEXT, [str(2**60), "1", None]),
        ([2**60, "a"], ColumnType.TEXT, [str(2**60), "a"]),
        (
            [date(2020, 1, 2), datetime(2020, 1, 2, 3, tzinfo=UTC)],
            ColumnType.TEXT,
            ["2020-01-02", "2020-01-02T03:00:00+00:00"],
        ),
        ([*[1] * 98, " ", ""], ColumnType.INTEGER, [*[1] * 98, NAN, NAN]),
        ([*[1] * 9, " "], ColumnType.TEXT, [*["1"] * 9, " "]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_single_values_find_their_type(values: list[object], kind: ColumnType, expected: list[object]) -> None:
    same(from_values("x", values), kind, expected)


def test_a_nested_value_is_refused_by_row() -> None:
    with pytest.raises(SchemaMismatch, match="column `x` holds a dict") as caught:
        from_values("x", ["a", {"b": 1}])
    assert caught.value.where == "row 2"
