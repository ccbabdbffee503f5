"""A table of named columns, however it was sent, to a batch in the order of a signature.

Columns that are plainly right go through numpy whole; one that is refused or doubted is looked at
cell by cell with the rules of ``/predict``.
"""

from __future__ import annotations

import math
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.signature import ColumnType
from kilter.errors import SchemaMismatch
from kilter.faces.serving.document import EXACT
from kilter.faces.serving.limits import ELEMENTS
from kilter.faces.serving.own.strict import cell_of, refusal, unknown_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilter.contracts.signature import Column, Signature

__all__ = ["Frame", "FrameReader"]

_PLAIN: Mapping[ColumnType, frozenset[type]] = {
    ColumnType.FLOAT: frozenset({float, int, NoneType}),
    ColumnType.INTEGER: frozenset({float, int, NoneType}),
    ColumnType.BOOLEAN: frozenset({bool, NoneType}),
    ColumnType.TEXT: frozenset({str, NoneType}),
}
_TYPED = frozenset({"parquet", "csv"})  # forms whose errors do not speak of quotes


class Frame(NamedTuple):
    """Columns of equal length by name; None and NaN are missing. ``where`` begins the names of cells."""

    where: str
    columns: Mapping[str, Sequence[Any]]
    rows: int


class FrameReader:
    """Reads tables for one signature.

    Guarantees: never lets a wrong value through to a model; thread-safe.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self.signature = signature
        self.max_rows = max_rows
        self.names = tuple(column.name for column in signature.columns)
        self._columns = {column.name: column for column in signature.columns}
        self._numeric = [self._columns[name] for name in signature.numeric_names]
        self._text = [self._columns[name] for name in signature.text_names]

    def check_size(self, where: str, rows: int, width: int) -> None:
        """Refuse no rows, more rows than the deployment takes, and more cells than any request may have.

        Raises
        ------
        InvalidRequest
            If one of them is the case.
        """
        if rows == 0:
            raise refusal(where, "at least one row", "none", "send one row or more")
        if rows > self.max_rows:
            hint = "split the request, or score files with `kilter predict --in FILE`"
            raise refusal(where, f"at most {self.max_rows} rows", f"{rows} rows", hint)
        if rows * width > ELEMENTS:
            raise refusal(where, f"at most {ELEMENTS} cells", f"{rows} x {width}", "split the request")

    def check_names(self, where: str, names: Sequence[str]) -> None:
        """Refuse columns that are doubled, unknown, or missing although they never were.

        Raises
        ------
        SchemaMismatch
            If one of them is the case.
        """
        given: set[str] = set()
        for name in names:
            if name in given:
                message = f"{where}: column `{name[:80]}` is there twice"
                raise SchemaMismatch(message, where=where, hint="send each column once", details={"field": where})
            if name not in self._columns:
                raise unknown_column(self._columns, name, where)
            given.add(name)
        missing = [column.name for column in self.signature.columns if column.name not in given and not column.nullable]
        if missing:
            shown = ", ".join(f"`{name[:40]}`" for name in missing[:5])
            message = f"{where}: {len(missing)} of {len(self._columns)} columns are missing: {shown}"
            hint = "send every column that never was missing in the reference data"
            raise SchemaMismatch(message, where=where, hint=hint, details={"field": where})

    def batch(self, frame: Frame) -> Batch:
        """Return the rows of a frame whose names and size were checked.

        Raises
        ------
        InvalidRequest
            If a value is wrong; ``details["field"]`` names it.
        """
        rows = frame.rows
        numeric = np.empty((rows, len(self._numeric)), dtype=np.float64)
        for place, column in enumerate(self._numeric):
            numeric[:, place] = _numbers(column, frame)
        text = np.empty((rows, len(self._text)), dtype=np.object_)
        for place, column in enumerate(self._text):
            text[:, place] = _texts(column, frame)
        return Batch(rows=rows, numeric=numeric, text=text)


def _numbers(column: Column, frame: Frame) -> Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]:
    """Return a column of numbers or booleans, NaN where missing."""
    cells = frame.columns.get(column.name)
    if cells is None:
        return np.full(frame.rows, np.nan)
    if _PLAIN[column.type].issuperset(map(type, cells)):
        try:
            values = np.array(cells, dtype=np.float64)
        except OverflowError:
            return [math.nan if cell is None else float(cell) for cell in _checked(column, cells, frame.where)]
        is_missing = np.isnan(values)
        is_fine = column.nullable or not is_missing.any()
        is_fine = is_fine and not (np.abs(values) >= EXACT).any()
        if column.type is ColumnType.INTEGER:
            is_fine = is_fine and bool(((values == np.rint(values)) | is_missing).all())
        if is_fine:
            return values
    return [math.nan if cell is None else float(cell) for cell in _checked(column, cells, frame.where)]


def _texts(column: Column, frame: Frame) -> Sequence[object]:
    """Return a column of text, None where missing."""
    cells = frame.columns.get(column.name)
    if cells is None:
        return [None] * frame.rows
    kinds = set(map(type, cells))
    if kinds <= _PLAIN[ColumnType.TEXT] and (column.nullable or NoneType not in kinds):
        return cells
    return _checked(column, cells, frame.where)


def _checked(column: Column, cells: Sequence[Any], where: str) -> list[Any]:
    """Look at every cell; the first wrong one is named."""
    name, is_json = column.name[:80], where not in _TYPED
    return [_checked_cell(column, cell, f"{where}[{row}].{name}", is_json=is_json) for row, cell in enumerate(cells)]


def _checked_cell(column: Column, cell: object, field: str, *, is_json: bool) -> float | str | None:
    """Look at one cell: frames say NaN for missing, and may hold infinity."""
    if isinstance(cell, float) and not math.isfinite(cell):
        if math.isinf(cell):
            raise refusal(field, "a finite number", "infinity", "send a finite number, or nothing for missing")
        cell = None
    return cell_of(column, {column.name: cell}, field, is_json=is_json)
