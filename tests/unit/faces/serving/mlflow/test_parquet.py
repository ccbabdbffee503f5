"""Claims about Parquet bodies: what is read, what is refused before it is unpacked."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped] # noqa: TID251 - what users' frames are written by
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilter.errors import InputError, TooLarge
from kilter.faces.serving.mlflow._pages import claims
from kilter.faces.serving.mlflow.frame import FrameReader
from kilter.faces.serving.mlflow.parquet import read_parquet
from kilter.testing.plane import MIXED

_READER = FrameReader(MIXED, max_rows=2_000)
_ROWS: dict[str, Any] = {
    "region": ["north", None],
    "age": [40.0, 1e300],
    "visits": [3, -7],
    "is member": [True, False],
    "plan": ["basic", ""],
    "income": [None, 2.5],
}


def _file(columns: dict[str, Any] | pa.Table, **options: Any) -> bytes:  # noqa: ANN401 - the writer's
    sink = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), sink, **options)
    return sink.getvalue()


def _cells(body: bytes) -> tuple[Any, Any]:
    batch = read_parquet(_READER, body)
    return np.asarray(batch.numeric), np.asarray(batch.text).tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd"},
        {"compression": "gzip", "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False},
        {"row_group_size": 1},
        {"use_dictionary": False, "column_encoding": {"plan": "DELTA_BYTE_ARRAY", "visits": "DELTA_BINARY_PACKED"}},
        {"write_page_index": True, "write_page_checksum": True, "store_schema": False},
    ],
)
def test_however_it_was_written_it_is_read(options: dict[str, Any]) -> None:
    numbers, texts = _cells(_file(_ROWS, **options))
    np.testing.assert_array_equal(numbers, [[40.0, 3.0, 1.0, np.nan], [1e300, -7.0, 0.0, 2.5]])
    assert texts == [["basic", "north"], ["", None]]


def test_what_pandas_writes_is_read() -> None:
    frame = pd.DataFrame(_ROWS)
    expected = _cells(_file(_ROWS))
    for index, columns in ((None, {}), (["x", "y"], {"plan": "category"}), (None, {"visits": float})):
        written = frame.astype(columns).set_axis(index or range(2), axis=0)
        sink = io.BytesIO()
        written.to_parquet(sink)
        numbers, texts = _cells(sink.getvalue())
        np.testing.assert_array_equal(numbers, expected[0])
        assert texts == expected[1]


def test_types_need_only_fit() -> None:
    columns = {
        "age": pa.array([1, 2], pa.int8()),
        "visits": pa.array([1.0, 2.0], pa.float32()),
        "is member": pa.array([True, False]).dictionary_encode(),
        "plan": pa.array(["a", "b"], pa.large_string()),
        "income": pa.nulls(2),
        "region": pa.array([float("nan")] * 2),
    }
    numbers, texts = _cells(_file(columns))
    np.testing.assert_array_equal(numbers, [[1.0, 1.0, 1.0, np.nan], [2.0, 2.0, 0.0, np.nan]])
    assert texts == [["a", None], ["b", None]]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"agee": [1, 2]}, "parquet.agee: unknown column"),
        ({"age": [b"1", b"2"]}, "parquet.age: expected numbers, booleans or text, got binary"),
        ({"age": [[1], [2]]}, "parquet.age: expected numbers, booleans or text, got list"),
        ({"plan": [b"a", b"b"]}, "parquet.plan: expected numbers, booleans or text, got binary"),
        (
            {"age": pa.array([1, 2], pa.timestamp("us"))},
            "parquet.age: expected numbers, booleans or text, got timestamp",
        ),
        ({"age": ["1", "2"]}, r"parquet\[0\].age: expected a number, got text"),
        ({"age": [True, False]}, r"parquet\[0\].age: expected a number, got true or false"),
        ({"age": [1.0, None]}, r"parquet\[1\].age: expected a number, got null"),
        ({"age": [1.0, float("inf")]}, r"parquet\[1\].age: expected a finite number, got infinity"),
        ({"age": [1, 2**60 + 1]}, r"parquet\[1\].age: expected a number of at most"),
        ({"visits": [1.0, 1.5]}, r"parquet\[1\].visits: expected an integer, got a fraction"),
        ({"is member": [1, 0]}, r"parquet\[0\].is member: expected true or false"),
        ({"plan": [1, 2]}, r"parquet\[0\].plan: expected text, got an integer"),
        ({"plan": ["a", None]}, r"parquet\[1\].plan: expected text, got null"),
    ],
)
def test_what_does_not_fit_is_said(change: dict[str, Any], part: str) -> None:
    with pytest.raises(InputError, match=part) as caught:
        read_parquet(_READER, _file({**_ROWS, **change}))
    assert caught.value.hint
    assert "JSON" not in caught.value.hint
    assert "quotes" not in caught.value.hint


def test_columns_must_be_the_models() -> None:
    with pytest.raises(InputError, match="3 of 6 columns are missing"):
        read_parquet(_READER, _file({"age": [1.0]}))
    table = pa.Table.from_arrays([pa.array([1.0])] * 2, names=["age", "age"])
    with pytest.raises(InputError, match="`age` is there twice"):
        read_parquet(_READER, _file(table))


def test_too_many_or_no_rows_are_refused() -> None:
    with pytest.raises(InputError, match="at most 2000 rows, got 2001"):
        read_parquet(_READER, _file({"age": [1.0] * 2_001}))
    with pytest.raises(InputError, match="at least one row"):
        read_parquet(_READER, _file(pa.table(_ROWS).slice(0, 0)))


def test_many_small_pieces_are_refused() -> None:
    reader = FrameReader(MIXED, max_rows=65_536)
    rows = {name: [values[0] if name != "region" else "n"] * 11_000 for name, values in _ROWS.items()}
    with pytest.raises(InputError, match="column chunks"):
        read_parquet(reader, _file({**rows, "income": [1.0] * 11_000}, row_group_size=1))


@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": True},
        {"use_dictionary": False},
        {"use_dictionary": False, "column_encoding": {"plan": "DELTA_BYTE_ARRAY"}},
        {"use_dictionary": False, "column_encoding": {"plan": "DELTA_BYTE_ARRAY"}, "data_page_version": "2.0"},
    ],
)
def test_a_small_file_that_unpacks_to_much_is_refused(options: dict[str, Any]) -> None:
    n = 1_000
    plan = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["x" * 100_000])
    columns = {"age": [1.0] * n, "visits": [1] * n, "is member": [True] * n, "plan": plan.dictionary_decode()}
    body = _file(columns, compression="zstd", **options)
    assert len(body) < 40_000
    before = pa.total_allocated_bytes()
    with pytest.raises(TooLarge, match="unpacks to more than"):
        read_parquet(_READER, body)
    assert pa.total_allocated_bytes() - before < 2**20


@pytest.mark.parametrize("body", [b"", b"PAR1", b"PAR1" * 2, b"PAR1" + b"\xff" * 8 + b"PAR1", b"{}", b"PARE" * 9])
def test_what_is_no_parquet_is_said(body: bytes) -> None:
    with pytest.raises(InputError, match="not a Parquet file"):
        read_parquet(_READER, body)


_WHOLE = _file(_ROWS, compression="zstd")


@given(cut=st.integers(0, len(_WHOLE) - 1))
def test_a_file_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(InputError):
        read_parquet(_READER, _WHOLE[:cut])


def test_text_that_is_no_utf8_is_refused() -> None:
    body = _file({**_ROWS, "plan": ["basicbasicbasic", "b"]}, compression="none", write_statistics=False)
    with pytest.raises(InputError):
        read_parquet(_READER, body.replace(b"basicbasicbasic", b"\xff" * 15))


@pytest.mark.parametrize(
    "header",
    [
        b"",  # cut off
        b"\x00",  # no sizes
        b"\x15\x00\x15\x02",  # cut off
        b"\x15\x00\x15\x01\x15\x00\x00",  # a negative size
        b"\x15\x00\x15\x02\x15\x7e\x00",  # longer than its column
        b"\x15" + b"\xff" * 12,  # an endless number
        b"\x1c" * 12,  # nested too deeply
        b"\x1b\x00",  # a map
        b"\x19\xf5\xff\x7f",  # a list longer than what is left
        b"\x18\x7f",  # text longer than what is left
    ],
)
def test_a_malformed_page_header_is_refused(header: bytes) -> None:
    body = header + b"\x00"
    with pytest.raises(ValueError, match="page"):
        claims(header, 0, len(header)) if header else claims(body, 0, 1)


def test_page_headers_may_hold_what_later_versions_add() -> None:
    added = (
        b"\x21\x12\x23\x05\x17" + b"\0" * 8 + b"\x19\x25\x02\x04\x19\x21\x01\x02\x06\x1e\x02"
    )  # bool, bool, byte, double, lists, i64 field 15
    body = b"\x15\x00\x15\x0a\x15\x04" + added + b"\x00" + b"zz"
    assert claims(body, 0, len(body)).unpacked == 5


def test_a_column_outside_of_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        claims(b"abc", 2, 9)
