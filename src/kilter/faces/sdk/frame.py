"""Users' tables on their way in: anything that speaks Arrow, lists of rows, or a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from kilter.errors import InvalidRequest, StoreError

__all__ = ["Frame", "path_of", "rows_of"]

Frame: TypeAlias = object
"""A path, an Arrow table (pandas, polars, pyarrow, DuckDB), a mapping of columns or a list of rows."""


def path_of(frame: Frame, keep_as: Path) -> str:
    """Return a file that holds the table: the path given, or ``keep_as`` written as Parquet.

    Raises
    ------
    InvalidRequest
        If the object is no table.
    StoreError
        If the file cannot be written.
    """
    if isinstance(frame, (str, Path)):
        return str(Path(frame).absolute())
    table = _table(frame)
    try:
        keep_as.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, keep_as)
    except OSError as error:
        msg = f"{keep_as} cannot be written: {error}"
        raise StoreError(msg, where=str(keep_as)) from error
    return str(keep_as)


def rows_of(frame: Frame) -> list[dict[str, object]]:
    """Return the rows of a table as plain objects; one mapping of plain values is one row.

    Raises
    ------
    InvalidRequest
        If the object is no table.
    """
    if isinstance(frame, Mapping) and not any(isinstance(value, (list, tuple)) for value in frame.values()):
        return [dict(frame)]
    if isinstance(frame, Sequence) and all(isinstance(row, Mapping) for row in frame):
        return [dict(row) for row in frame]
    return list(_table(frame).to_pylist())


def _table(frame: Frame) -> pa.Table:
    """Read anything that speaks Arrow."""
    try:
        if isinstance(frame, Sequence) and all(isinstance(row, Mapping) for row in frame):
            return pa.Table.from_pylist(list(frame))
        return pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        msg = f"{type(frame).__name__} is no table"
        raise InvalidRequest(
            msg,
            why=str(error),
            hint="pass a path, a pandas, polars or pyarrow table, a mapping of columns or a list of rows",
        ) from error
