"""Each kind of file becomes columns, or an error that says where it is wrong."""

from __future__ import annotations

import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kilter.contracts.signature import ColumnType
from kilter.errors import SchemaMismatch, TooLarge
from kilter.stores.sheets import source

TABLE = pa.table({"a": [1, 2], "b": ["x", None], "__index_level_0__": [5, 6]})


def names(data: bytes) -> list[str]:
    return list(source.csv_columns(data))


def cells(data: bytes, name: str) -> list[object]:
    return list(source.csv_columns(data)[name][1])


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_delimiter_is_found(mark: str) -> None:
    data = f"a{mark}b\n1{mark}x\n".encode()
    assert (names(data), cells(data, "b")) == (["a", "b"], ["x"])


def test_a_delimiter_inside_quotes_does_not_count() -> None:
    assert names(b'"a;b;c",d\n1,2\n') == ["a;b;c", "d"]


@pytest.mark.parametrize("data", ["\ufeffä,b\n1,2\n".encode(), "ä,b\n1,2\n".encode("utf-16")], ids=["8", "16"])
def test_a_byte_order_mark_is_no_part_of_a_name(data: bytes) -> None:
    assert names(data) == ["ä", "b"]


def test_quotes_may_hold_line_breaks_and_quotes_even_in_the_header() -> None:
    data = b'"a\nb",c\n"x\ny","say ""hi"""\n'
    assert names(data) == ["a\nb", "c"]
    assert (cells(data, "a\nb"), cells(data, "c")) == (["x\ny"], ['say "hi"'])


def test_windows_line_ends_and_empty_lines_do_not_matter() -> None:
    assert cells(b"a,b\r\n1,x\r\n\r\n2,y\r\n", "b") == ["x", "y"]


def test_the_type_is_that_of_all_rows_not_of_the_first() -> None:
    data = b"a,b\n" + b"1,1\n" * 300_000 + b"x,2.5\n"
    columns = source.csv_columns(data)
    assert columns["a"][0] is ColumnType.TEXT
    assert columns["b"][0] is ColumnType.FLOAT


def test_columns_without_a_name_are_named_by_place() -> None:
    assert names(b",a\n0,1\n") == ["Unnamed: 0", "a"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"a,a\n1,2\n", "`a` is there twice"),
        (b"a,b\n1,\xff\n", "UTF-8"),
        (b"PK\x03\x04rest", "begins like `.xlsx`"),
        (b"PAR1rest", "begins like `.parquet`"),
        (b"\x1f\x8brest", "begins like `.csv.gz`"),
    ],
)
def test_what_is_no_csv_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(SchemaMismatch, match=words) as caught:
        source.csv_columns(data)
    assert caught.value.hint


@pytest.mark.parametrize("row", [b"3\n", b"3,4,5\n"], ids=["short", "long"])
def test_a_ragged_row_is_named(row: bytes) -> None:
    with pytest.raises(SchemaMismatch, match="the header has 2") as caught:
        source.csv_columns(b"a,b\n1,2\n" + row + b"5,6\n")
    assert caught.value.where == "row 3 counting the header"


def test_more_than_2000_columns_are_too_many() -> None:
    with pytest.raises(TooLarge, match="2001 columns"):
        source.csv_columns(",".join(f"c{n}" for n in range(2_001)).encode() + b"\n")


def test_a_line_in_another_encoding_is_named() -> None:
    with pytest.raises(SchemaMismatch, match="UTF-8") as caught:
        source.csv_columns("a,b\n1,x\n2,ü\n".encode("latin-1"))
    assert caught.value.where == "line 3"


def test_gzip_is_unpacked() -> None:
    assert source.unpacked(gzip.compress(b"abc")) == b"abc"


@pytest.mark.parametrize("data", [b"", b"abc", gzip.compress(b"abc" * 99)[:-9]], ids=["empty", "other", "cut"])
def test_gzip_that_is_not_whole_is_refused(data: bytes) -> None:
    if data:
        with pytest.raises(SchemaMismatch, match="gzip"):
            source.unpacked(data)
    else:
        assert source.unpacked(data) == b""


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(TABLE, sink)
    return sink.getvalue()


def arrow_file() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return bytes(sink.getvalue().to_pybytes())


def arrow_stream() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return bytes(sink.getvalue().to_pybytes())


def test_typed_tables_lose_the_index_of_a_frame() -> None:
    for columns in (
        source.parquet_columns(parquet()),
        source.arrow_columns(arrow_file()),
        source.arrow_columns(arrow_stream()),
    ):
        assert {name: kind for name, (kind, _) in columns.items()} == {"a": ColumnType.INTEGER, "b": ColumnType.TEXT}
        assert list(columns["b"][1]) == ["x", None]


def test_typed_tables_that_are_not_whole_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="not whole Parquet"):
        source.parquet_columns(parquet()[:-20])
    for data in (arrow_file()[:-20], arrow_stream()[:20], b"", b"garbage"):
        with pytest.raises(SchemaMismatch, match="not whole Arrow"):
            source.arrow_columns(data)


def test_json_lines_may_lack_names() -> None:
    columns = source.json_columns(b'{"a": 1, "b": "x"}\r\n\n{"b": "y", "c": true}\n')
    assert list(columns) == ["a", "b", "c"]
    assert list(columns["b"][1]) == ["x", "y"]
    assert [kind for kind, _ in columns.values()] == [ColumnType.INTEGER, ColumnType.TEXT, ColumnType.BOOLEAN]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"3", b"\xff"])
def test_a_line_that_is_no_object_is_named(line: bytes) -> None:
    with pytest.raises(SchemaMismatch, match="not a JSON object") as caught:
        source.json_columns(b'{"a": 1}\n' + line)
    assert caught.value.where == "line 2"


def test_what_is_no_spreadsheet_is_refused() -> None:
    for data in (b"", b"garbage", b"PK\x03\x04garbage"):
        with pytest.raises(SchemaMismatch, match="not whole XLSX"):
            source.xlsx_columns(data)
