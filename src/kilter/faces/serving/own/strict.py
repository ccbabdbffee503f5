"""Cell-by-cell validation of JSON rows: slower than the typed decoder, but it can say what is wrong.

The typed decoder accepts what is plainly right. Whatever it refuses or doubts comes here, and this
file alone decides.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from kilter.contracts.signature import ColumnType
from kilter.errors import InvalidRequest, SchemaMismatch
from kilter.faces.serving.document import EXACT

if TYPE_CHECKING:
    from typing import TypeAlias

    from kilter.contracts.signature import Column, Signature

    Cell: TypeAlias = "float | str | None"

__all__ = ["cell_of", "cells_of", "kind_of", "milliseconds", "refusal", "unknown_column"]

_WANTED = {
    ColumnType.FLOAT: "a number",
    ColumnType.INTEGER: "an integer",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.TEXT: "text",
}


def kind_of(value: object) -> str:
    """Name the JSON kind of a value, as an error message says it."""
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "text", int: "an integer", float: "a number", list: "an array", dict: "an object", type(None): "null"}
    return kinds.get(type(value), type(value).__name__)


def refusal(field: str, expected: str, got: str, hint: str) -> InvalidRequest:
    """Build the error of one value that is not what it should be."""
    return InvalidRequest(f"{field}: expected {expected}, got {got}", where=field, hint=hint, details={"field": field})


def milliseconds(field: str, value: object) -> int | None:
    """Return a deadline of a body, None for none.

    Parameters
    ----------
    field : str
        Names it.
    value : object
        As decoded.

    Returns
    -------
    int or None
        At least 1.

    Raises
    ------
    InvalidRequest
        If it is no whole number of at least 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise refusal(field, "an integer of at least 1", kind_of(value), "send whole milliseconds")
    if value < 1:
        got = "0" if value == 0 else "a negative one"
        raise refusal(field, "an integer of at least 1", got, "send whole milliseconds, or leave it out")
    return value


def cells_of(signature: Signature, rows: list[object]) -> list[tuple[Cell, ...]]:
    """Return the cells of each row, numbers first and then text, both in signature order."""
    names = (*signature.numeric_names, *signature.text_names)
    columns = {column.name: column for column in signature.columns}
    return [_row(columns, names, row, f"rows[{index}]") for index, row in enumerate(rows)]


def _row(columns: dict[str, Column], names: tuple[str, ...], row: object, where: str) -> tuple[Cell, ...]:
    """Validate one row object."""
    if not isinstance(row, dict):
        raise refusal(where, "an object of column and value", kind_of(row), 'send rows like `{"age": 41}`')
    for name in row:
        if name not in columns:
            raise unknown_column(columns, name, where)
    return tuple(cell_of(columns[name], row, f"{where}.{name}") for name in names)


def unknown_column(columns: dict[str, Column], name: str, where: str) -> SchemaMismatch:
    """Build the error of a column that the model does not take."""
    near = get_close_matches(name[:200], list(columns), n=1, cutoff=0.6)
    hint = f"use `{near[0]}`" if near else "remove it; the model's metadata lists its columns"
    field = f"{where}.{name[:40]}"
    return SchemaMismatch(
        f"{field}: unknown column, the model takes {len(columns)} others",
        where=field,
        hint=hint,
        details={"field": field},
    )


def cell_of(column: Column, row: dict[str, object], field: str, *, is_json: bool = True) -> Cell:
    """Validate one cell and narrow it to float, text or None; only of JSON does an error speak of quotes."""
    value = row.get(column.name)
    wanted = _WANTED[column.type]
    if value is None:
        if column.nullable:
            return None
        got = "null" if column.name in row else "nothing"
        raise refusal(field, wanted, got, f"send a value: `{column.name}` never was missing in the reference data")
    if column.type is ColumnType.TEXT:
        if isinstance(value, str):
            return value
        fix = f"put the value of `{column.name}` in quotes" if is_json else f"write `{column.name}` as text"
        raise refusal(field, wanted, kind_of(value), fix)
    if column.type is ColumnType.BOOLEAN:
        if isinstance(value, bool):
            return float(value)
        fix = (
            f"send `{column.name}` as true or false, without quotes"
            if is_json
            else f"write `{column.name}` as booleans"
        )
        raise refusal(field, wanted, kind_of(value), fix)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        fix = (
            f"send `{column.name}` as a JSON number, without quotes" if is_json else f"write `{column.name}` as numbers"
        )
        raise refusal(field, wanted, kind_of(value), fix)
    return _number(column, value, field, wanted)


def _number(column: Column, value: float, field: str, wanted: str) -> float:
    """Validate one number of a float or integer column."""
    if isinstance(value, int):
        if abs(value) > EXACT:
            raise refusal(field, f"{wanted} of at most 2**53", "a larger integer", "send it as text or scale it")
        return float(value)
    if column.type is ColumnType.INTEGER and not (value.is_integer() and abs(value) <= EXACT):
        raise refusal(field, wanted, "a fraction", f"round `{column.name}` before sending it")
    return value
