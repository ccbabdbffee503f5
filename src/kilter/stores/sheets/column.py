"""Cells of one column to its type, and to the array that carries it through kilter."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kilter.contracts.signature import ColumnType
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Typed", "from_arrow", "from_text", "from_values"]

Typed: TypeAlias = tuple[ColumnType, NDArray[np.float64] | NDArray[np.object_]]
"""A column's type and its cells: float64 with NaN for missing, or ``str`` and None."""

_EXACT = 2**53
"""Integers beyond this have no float64 of their own, so a column that holds one is text: an id, not a quantity."""
_NUMBERS_SHARE = 0.98
"""Least share of numbers among filled cells, if all others are blank, of a column of numbers."""
_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
_TRUE = ("True", "true", "TRUE")
_FALSE = ("False", "false", "FALSE")


def from_text(cells: pa.ChunkedArray) -> Typed:
    """Infer the type of a column of a text file from all of its cells.

    Parameters
    ----------
    cells : ChunkedArray of string
        As written in the file.

    Returns
    -------
    Typed
        Text keeps its cells as they are; the usual spellings of a missing value are missing.

    Raises
    ------
    Nothing
    """
    cells = pc.if_else(pc.is_in(cells, value_set=pa.array(_MISSING)), pa.scalar(None, pa.string()), cells)
    filled = len(cells) - cells.null_count
    if pc.sum(pc.is_in(cells, value_set=pa.array(_TRUE + _FALSE))).as_py() == filled > 0:
        return ColumnType.BOOLEAN, _numbers(_where(cells, pc.is_in(cells, value_set=pa.array(_TRUE))))
    trimmed = pc.utf8_trim_whitespace(cells)
    blank = pc.fill_null(pc.equal(trimmed, ""), fill_value=False)
    blanks = pc.sum(blank).as_py() or 0
    if filled - blanks >= _NUMBERS_SHARE * filled:
        typed = _from_digits(pc.if_else(blank, pa.scalar(None, pa.string()), trimmed))
        if typed is not None:
            return typed
    return ColumnType.TEXT, _texts(cells)


def from_arrow(name: str, cells: pa.ChunkedArray) -> Typed:
    """Carry over a column that has a type.

    Parameters
    ----------
    name : str
        The column's name, for the error.
    cells : ChunkedArray
        Truths, integers, floats, decimals, text, dates, times, dictionaries of these, or nulls only.

    Returns
    -------
    Typed

    Raises
    ------
    SchemaMismatch
        If the type is nested, binary or a duration.
    """
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return from_arrow(name, cells.cast(kind.value_type))
    if pa.types.is_integer(kind):
        return _integers(cells)
    if any(is_kind(kind) for is_kind in (pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)):
        return ColumnType.FLOAT, _numbers(cells)
    if pa.types.is_boolean(kind):
        return ColumnType.BOOLEAN, _numbers(cells)
    if any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)):
        return ColumnType.TEXT, _texts(cells.cast(pa.large_string()))
    return ColumnType.TEXT, _moments(name, cells)


def from_values(name: str, values: Sequence[object]) -> Typed:
    """Infer the type of a column of single values from all of them.

    Parameters
    ----------
    name : str
        The column's name, for the error.
    values : sequence
        None, truths, numbers, text, dates, times.

    Returns
    -------
    Typed
        Mixed columns are text, but for blank cells among numbers: they are missing.

    Raises
    ------
    SchemaMismatch
        If a cell holds a list or an object; its row is named.
    """
    filled = [value for value in values if value is not None]
    blanks = sum(isinstance(value, str) and not value.strip() for value in filled)
    numbers = sum(isinstance(value, int | float) and not isinstance(value, bool) for value in filled)
    if all(isinstance(value, bool) for value in filled) and filled:
        return ColumnType.BOOLEAN, np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    if numbers + blanks == len(filled) and numbers >= _NUMBERS_SHARE * len(filled):
        kept = [value if isinstance(value, int | float) else None for value in values]
        whole = filled and all(isinstance(value, int) for value in kept if value is not None)
        if whole and max(abs(value) for value in kept if value is not None) > _EXACT:
            return ColumnType.TEXT, _objects([None if value is None else str(value) for value in kept])
        array = np.array([np.nan if value is None else float(value) for value in kept], dtype=np.float64)
        return (ColumnType.INTEGER if whole else ColumnType.FLOAT), array
    return ColumnType.TEXT, _objects([_text_of(name, row, value) for row, value in enumerate(values, start=1)])


def _from_digits(cells: pa.ChunkedArray) -> Typed | None:
    """Read text as numbers, or return None."""
    if len(cells) == cells.null_count:
        return ColumnType.FLOAT, np.full(len(cells), np.nan)
    integers = _cast(cells, pa.int64())
    if integers is not None:
        is_hexadecimal = pc.any(pc.match_substring_regex(cells, "^-?0[xX]")).as_py()
        return None if is_hexadecimal else _integers(integers, cells)
    numbers = _cast(cells, pa.float64())
    if numbers is None or not pc.all(pc.match_substring_regex(cells, r"^[+-]?\d+$")).as_py():
        return None if numbers is None else (ColumnType.FLOAT, _numbers(numbers))
    if pc.max(pc.abs(numbers)).as_py() > _EXACT:
        return ColumnType.TEXT, _texts(cells)
    return ColumnType.INTEGER, _numbers(numbers)


def _cast(cells: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    """Read text as numbers of one kind, or return None."""
    try:
        return cells.cast(kind)
    except pa.ArrowInvalid:
        return None


def _integers(cells: pa.ChunkedArray, written: pa.ChunkedArray | None = None) -> Typed:
    """Carry over integers; those that float64 cannot hold make the column text."""
    bounds = pc.min_max(cells).as_py()
    if max(abs(bounds["min"] or 0), abs(bounds["max"] or 0)) > _EXACT:
        return ColumnType.TEXT, _texts(cells.cast(pa.string()) if written is None else written)
    return ColumnType.INTEGER, _numbers(cells)


def _numbers(cells: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return cells as float64, NaN for missing."""
    if pa.types.is_boolean(cells.type):
        cells = cells.cast(pa.uint8())
    floats = pc.fill_null(cells.cast(pa.float64(), safe=False), np.nan)
    return np.array(floats.to_numpy(), dtype=np.float64)


def _texts(cells: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return cells as ``str`` or None, one object per distinct text."""
    coded = pa.chunked_array(cells).combine_chunks().dictionary_encode()
    words = _objects([*coded.dictionary.to_pylist(), None])
    places = pc.fill_null(coded.indices, len(words) - 1).to_numpy(zero_copy_only=False)
    chosen: NDArray[np.object_] = words[places]
    return chosen


def _moments(name: str, cells: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return dates and times as ISO 8601 text, refusing what is neither."""
    kind = cells.type
    if pa.types.is_timestamp(kind):
        cells = cells.cast(pa.timestamp("us", tz="UTC" if kind.tz else None), safe=False)
    elif pa.types.is_date(kind):
        cells = cells.cast(pa.date32())
    elif pa.types.is_time(kind):
        cells = cells.cast(pa.time64("us"), safe=False)
    else:
        message = f"column `{name}` holds {kind}, which is neither numbers, truths, text nor times"
        raise SchemaMismatch(message, hint=f"drop `{name}`, or store it as numbers or text", details={"field": name})
    return _objects([None if cell is None else cell.isoformat() for cell in cells.to_pylist()])


def _where(cells: pa.ChunkedArray, truths: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keep missing cells missing."""
    return pc.if_else(pc.is_null(cells), pa.scalar(None, pa.bool_()), truths)


def _objects(values: Sequence[str | None]) -> NDArray[np.object_]:
    """Return an object array of one dimension."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _text_of(name: str, row: int, value: object) -> str | None:
    """Return one cell as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(int(value) if value == value // 1 and abs(value) <= _EXACT else value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    message = f"column `{name}` holds a {type(value).__name__}, not a number, a truth or text"
    raise SchemaMismatch(
        message, where=f"row {row}", hint=f"drop `{name}`, or store it as text", details={"field": name, "row": row}
    )
