from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kilter.contracts.signature import ColumnType
from kilter.errors import SchemaMismatch
from kilter.formats.base.reference import read_reference
from kilter.testing.estimators import arrow_ipc


def test_columns_are_described_with_range_levels_and_gaps() -> None:
    table = pa.table({"n": [1, None, 3], "f": [0.5, 2.5, None], "b": [True, False, True], "t": ["x", None, "y"]})
    reference = read_reference(arrow_ipc(table))
    n, f, b, t = (reference.column(name) for name in "nfbt")
    assert (n.type, n.low, n.high, n.nullable) == (ColumnType.INTEGER, 1.0, 3.0, True)
    assert (f.type, f.low, f.high, f.nullable) == (ColumnType.FLOAT, 0.5, 2.5, True)
    assert (b.type, b.low, b.high, b.nullable) == (ColumnType.BOOLEAN, 0.0, 1.0, False)
    assert (t.type, t.levels, t.nullable) == (ColumnType.TEXT, ("x", "y"), True)


def test_too_many_levels_are_not_listed() -> None:
    reference = read_reference(arrow_ipc(pa.table({"t": [f"v{i}" for i in range(201)], "e": [None] * 200 + [1.0]})))
    assert reference.column("t").levels == ()
    assert not reference.column("t").nullable


def test_a_column_without_values_has_no_range() -> None:
    reference = read_reference(arrow_ipc(pa.table({"f": pa.array([None, None], pa.float64())})))
    assert (reference.column("f").low, reference.column("f").high) == (None, None)


def test_text_of_numbers_with_blanks_becomes_numbers_and_other_text_stays() -> None:
    table = pa.table({"n": ["1.5", " ", None], "t": ["1", "two", "3"], "f": [1.0, 2.0, 3.0]})
    reference = read_reference(arrow_ipc(table)).with_numbers(("n", "t", "f"))
    assert reference.types["n"] is ColumnType.FLOAT
    assert np.array_equal(reference.columns["n"], [1.5, np.nan, np.nan], equal_nan=True)
    assert reference.types["t"] is ColumnType.TEXT


def test_no_rows_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="no rows"):
        read_reference(arrow_ipc(pa.table({"a": pa.array([], pa.float64())})))
