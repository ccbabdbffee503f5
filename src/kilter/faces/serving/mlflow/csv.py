"""A CSV body (RFC 4180, header row) to columns, by the signature's types: nothing is guessed."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from kilter.contracts.signature import ColumnType
from kilter.errors import InvalidRequest
from kilter.faces.serving.document import EXACT
from kilter.faces.serving.mlflow.frame import Frame
from kilter.faces.serving.own.strict import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.batch import Batch
    from kilter.contracts.signature import Column
    from kilter.faces.serving.mlflow.frame import FrameReader

__all__ = ["read_csv"]

_FORM = "csv"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_MISSING = frozenset({"", "nan", "NaN"})
_TRUTH = {
    "true": True,
    "True": True,
    "TRUE": True,
    "1": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "0": False,
}


def read_csv(reader: FrameReader, body: bytes) -> Batch:
    """Return the batch of a CSV body.

    An empty cell is missing. A first column without a name is the index that frame libraries write,
    and is left out. Empty lines are skipped.

    Parameters
    ----------
    reader : FrameReader
        Reads columns for the asked deployment.
    body : bytes
        UTF-8, comma separated, the first line names the columns.

    Returns
    -------
    Batch
        Rows in signature order.

    Raises
    ------
    InvalidRequest
        If the text is no CSV, rows are ragged, or a value is wrong.
    SchemaMismatch
        If the columns are not the model's.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = "the body is not valid UTF-8"
        raise InvalidRequest(message, hint="encode the CSV as UTF-8") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next((line for line in lines if line), None)
        if header is None:
            message = "header"
            raise refusal(message, "a first line that names the columns", "nothing", "send a header line")
        skipped = 1 if header[0] == "" and len(header) > 1 else 0
        names = header[skipped:]
        reader.check_names(_FORM, names)
        rows = _rows(reader, lines, len(header))
    except csv.Error as error:
        message = f"csv: line {lines.line_num}: {error}"
        hint = 'quote cells that hold commas, quotes or line ends: `"a ""b"", c"`'
        raise InvalidRequest(message[:400], hint=hint) from error
    columns = {column.name: column for column in reader.signature.columns}
    cells = dict(zip(names, list(zip(*rows, strict=True))[skipped:], strict=True))
    return reader.batch(Frame(_FORM, {name: _typed(columns[name], texts) for name, texts in cells.items()}, len(rows)))


def _rows(reader: FrameReader, lines: object, width: int) -> list[list[str]]:
    """Read all lines, refusing what is ragged or too much as soon as it is seen."""
    rows: list[list[str]] = []
    for line in lines:  # type: ignore[attr-defined]  # csv.reader's type has no public name
        if not line:
            continue
        if len(line) != width:
            hint = f"send {width} cells in every line"
            field = f"{_FORM}[{len(rows)}]"
            raise refusal(field, f"{width} cells as in the header", f"{len(line)}", hint)
        rows.append(line)
        if len(rows) > reader.max_rows:
            break
    reader.check_size(_FORM, len(rows), width)
    return rows


def _typed(column: Column, texts: Sequence[str]) -> Sequence[object]:
    """Return a column's cells in the signature's type."""
    if column.type is ColumnType.TEXT:
        return [text or None for text in texts]
    if column.type is ColumnType.BOOLEAN:
        return [None if text == "" else _truth(column, text, row) for row, text in enumerate(texts)]
    match = _NUMBER.fullmatch
    cells = [
        float(text) if match(text) else None if text in _MISSING else _no_number(column, text, row)
        for row, text in enumerate(texts)
    ]
    if any(cell is not None and abs(cell) >= EXACT for cell in cells):  # integers that lost digits are refused later
        return [int(text) if _INTEGER.fullmatch(text) else cell for text, cell in zip(texts, cells, strict=True)]
    return cells


def _truth(column: Column, text: str, row: int) -> bool:
    """Read one cell of a boolean column."""
    if text in _TRUTH:
        return _TRUTH[text]
    hint = "write true or false, 1 or 0, or nothing for missing"
    field = f"{_FORM}[{row}].{column.name[:80]}"
    raise refusal(field, "true or false", "other text", hint)


def _no_number(column: Column, text: str, row: int) -> float:
    """Refuse a cell of a column of numbers."""
    expected = "an integer" if column.type is ColumnType.INTEGER else "a number"
    got = "infinity" if "inf" in text.lower()[:9] else "other text"
    hint = "write a number like 41, -0.5 or 1e3 without spaces, or nothing for missing"
    field = f"{_FORM}[{row}].{column.name[:80]}"
    raise refusal(field, expected, got, hint)
