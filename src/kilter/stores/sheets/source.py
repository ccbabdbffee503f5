"""Bytes of one kind of file to named columns."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from kilter.errors import SchemaMismatch, TooLarge
from kilter.stores.sheets.column import from_arrow, from_text, from_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kilter.stores.sheets.column import Typed

__all__ = ["MAX_BYTES", "MAX_COLUMNS", "arrow_columns", "csv_columns", "json_columns", "parquet_columns", "unpacked"]
__all__ += ["xlsx_columns"]

MAX_BYTES = 2 * 1024**3
MAX_COLUMNS = 2_000

_HEADER_BYTES = 1_048_576
_BLOCK_BYTES = 16 * 1024**2
_DELIMITERS = (",", ";", "\t")
_MAGIC = {b"PK\x03\x04": ".xlsx", b"PAR1": ".parquet", b"\x1f\x8b": ".csv.gz", b"ARROW1": ".arrow"}


def unpacked(data: bytes) -> bytes:
    """Return the content of a gzip file.

    Raises
    ------
    SchemaMismatch
        If it is damaged or cut short.
    TooLarge
        If it unpacks to more than 2 GiB.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as cause:
        message = "the file is not whole gzip"
        raise SchemaMismatch(message, why=str(cause), hint="pack it again with `gzip`") from cause
    if len(content) > MAX_BYTES:
        message = "the file unpacks to more than 2 GiB"
        raise TooLarge(message, hint="give a sample of the rows, or Parquet")
    return content


def csv_columns(data: bytes) -> dict[str, Typed]:
    """Read CSV: comma, semicolon or tab, whichever cuts the first line into the most names.

    Raises
    ------
    SchemaMismatch
        If it is empty, ragged or not UTF-8, or has a name twice.
    TooLarge
        If it has too many columns.
    """
    _require_text(data)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", errors="replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    _require_utf8(data)
    delimiter, names = _header(data)
    _require_names(names)
    bad: list[pc.InvalidRow] = []

    def refuse(row: pc.InvalidRow) -> str:
        """Take note of a row of another length."""
        bad.append(row)
        return "skip"

    def parse(*, use_threads: bool) -> pa.Table:
        """Read all cells as text."""
        return pc.read_csv(
            pa.BufferReader(data),
            read_options=pc.ReadOptions(
                column_names=names, skip_rows_after_names=1, block_size=_BLOCK_BYTES, use_threads=use_threads
            ),
            parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse),
            convert_options=pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )

    try:
        table = parse(use_threads=True)
        if bad:
            bad.clear()
            parse(use_threads=False)  # only one thread counts the rows
    except pa.ArrowInvalid as cause:
        message = "CSV"
        raise _unreadable(message, cause) from cause
    if bad:
        row = bad[0]
        message = f"a row has {row.actual_columns} cells, the header has {row.expected_columns}"
        raise SchemaMismatch(
            message,
            where=f"row {row.number} counting the header",
            hint="quote cells that hold the delimiter",
            details={"row": row.number},
        )
    return {name: from_text(table.column(name)) for name in names}


def parquet_columns(data: bytes) -> dict[str, Typed]:
    """Read Parquet.

    Raises
    ------
    SchemaMismatch
        If it is no whole Parquet file, or a column is neither numbers, truths, text nor times.
    TooLarge
        If it has too many columns.
    """
    try:
        return _table_columns(pq.ParquetFile(pa.BufferReader(data)).read())
    except (pa.ArrowException, OSError) as cause:
        message = "Parquet"
        raise _unreadable(message, cause) from cause


def arrow_columns(data: bytes) -> dict[str, Typed]:
    """Read Arrow IPC, as a file (also Feather) or as a stream.

    Raises
    ------
    SchemaMismatch
        If it is no whole Arrow file, or a column is neither numbers, truths, text nor times.
    TooLarge
        If it has too many columns.
    """
    opened = pa.ipc.open_file if data.startswith(b"ARROW1") else pa.ipc.open_stream
    try:
        with opened(pa.BufferReader(data)) as reader:
            return _table_columns(reader.read_all())
    except (pa.ArrowException, OSError) as cause:
        message = "Arrow"
        raise _unreadable(message, cause) from cause


def json_columns(data: bytes) -> dict[str, Typed]:
    """Read JSON lines: one object a line; a name that a line lacks is missing there.

    Raises
    ------
    SchemaMismatch
        If a line is no object, or a cell a list or an object; the line is named.
    TooLarge
        If it has too many columns.
    """
    rows: list[dict[str, object]] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line, type=dict[str, object]))
            except (msgspec.MsgspecError, UnicodeDecodeError) as cause:
                message = "a line is not a JSON object"
                raise SchemaMismatch(
                    message, where=f"line {number}", why=str(cause), hint="write one object per line"
                ) from cause
    names = list(dict.fromkeys(name for row in rows for name in row))
    _require_names(names)
    return {name: from_values(name, [row.get(name) for row in rows]) for name in names}


def xlsx_columns(data: bytes) -> dict[str, Typed]:
    """Read the first sheet of an XLSX file; its first row holds the names.

    Raises
    ------
    SchemaMismatch
        If it is no XLSX file or the sheet is empty.
    TooLarge
        If it has too many columns.
    """
    from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 - few tables need it

    try:
        sheet = CalamineWorkbook.from_object(io.BytesIO(data)).get_sheet_by_index(0)
        first, *rows = sheet.to_python(skip_empty_area=True) or [[]]
    except (CalamineError, OSError, ValueError, IndexError) as cause:
        message = "XLSX"
        raise _unreadable(message, cause) from cause
    names = _named([str(cell) for cell in first])
    _require_names(names)
    kept = [row for row in rows if any(cell != "" for cell in row)]
    return {name: from_values(name, [_cell(row[index]) for row in kept]) for index, name in enumerate(names)}


def _cell(value: object) -> object:
    """Return a spreadsheet's cell: empty is missing, and whole numbers, which it keeps as floats, are integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None if value == "" else value


def _table_columns(table: pa.Table) -> dict[str, Typed]:
    """Carry over all columns of a typed table; an index that a frame left behind is none."""
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    _require_names(names)
    return {name: from_arrow(name, table.column(name)) for name in names}


def _header(data: bytes) -> tuple[str, list[str]]:
    """Return the delimiter and the names of the first line."""
    text = data[:_HEADER_BYTES].decode(errors="replace")
    cut = {mark: next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), []) for mark in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda mark: len(cut[mark]))
    return delimiter, _named(cut[delimiter])


def _named(names: Iterable[str]) -> list[str]:
    """Name columns without a name by their place."""
    return [name or f"Unnamed: {place}" for place, name in enumerate(names)]


def _require_text(data: bytes) -> None:
    """Refuse a binary file with the suffix of a text file."""
    for magic, suffix in _MAGIC.items():
        if data.startswith(magic):
            message = f"the file is not CSV: it begins like `{suffix}`"
            raise SchemaMismatch(message, hint=f"rename it to end in `{suffix}`")


def _require_utf8(data: bytes) -> None:
    """Refuse text in another encoding; looks at the bytes where they are."""
    bounds = pa.array([0, len(data)], pa.int64()).buffers()[1]
    whole = pa.Array.from_buffers(pa.large_string(), 1, [None, bounds, pa.py_buffer(data)])
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid as cause:
        line = _first_bad_line(data)
        message = "the file is not CSV in UTF-8"
        raise SchemaMismatch(message, where=f"line {line}", why=str(cause), hint="save it as CSV in UTF-8") from cause


def _first_bad_line(data: bytes) -> int:
    """Return the number of the first line that is not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1
    return 1


def _require_names(names: list[str]) -> None:
    """Refuse a table without columns, with too many, or with one name twice."""
    if not names:
        message = "the table is empty"
        raise SchemaMismatch(message, hint="give a table with a header and at least one row")
    if len(names) > MAX_COLUMNS:
        message = f"the table has {len(names)} columns; at most {MAX_COLUMNS} are read"
        raise TooLarge(message, hint="drop columns that the model does not use")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        message = f"the column `{twice[0]}` is there twice"
        raise SchemaMismatch(message, where="header", hint="rename one of the two", details={"field": twice[0]})


def _unreadable(kind: str, cause: Exception) -> SchemaMismatch:
    """Say that a file is not what its suffix says."""
    message = f"the file is not whole {kind}"
    why = (str(cause).splitlines() or [type(cause).__name__])[0][:200]
    return SchemaMismatch(message, why=why, hint="write it again, or give the suffix of what it is")
