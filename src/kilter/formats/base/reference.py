"""The reference table as columns, read from an Arrow stream in the child."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kilter.contracts.signature import Column, ColumnType
from kilter.errors import SchemaMismatch

__all__ = ["Reference", "read_reference"]

_MAX_LEVELS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Columns of equal length: float64 with NaN, or object with ``str`` or None."""

    rows: int
    columns: dict[str, NDArray[Any]]
    types: dict[str, ColumnType]

    def column(self, name: str) -> Column:
        """Describe one column as a model's input."""
        values, kind = self.columns[name], self.types[name]
        if kind is ColumnType.TEXT:
            levels = sorted({value for value in values.tolist() if value is not None})
            has_gaps = any(value is None for value in values.tolist())
            return Column(
                name=name, type=kind, nullable=has_gaps, levels=tuple(levels) if len(levels) <= _MAX_LEVELS else ()
            )
        known = values[np.isfinite(values)]
        return Column(
            name=name,
            type=kind,
            nullable=bool(np.isnan(values).any()),
            low=float(known.min()) if known.size else None,
            high=float(known.max()) if known.size else None,
        )

    def with_numbers(self, names: tuple[str, ...]) -> Reference:
        """Return a copy where text columns of numbers with blanks are numbers with gaps."""
        columns, types = dict(self.columns), dict(self.types)
        for name in names:
            numbers = _numbers(columns[name]) if types[name] is ColumnType.TEXT else None
            if numbers is not None:
                columns[name], types[name] = numbers, ColumnType.FLOAT
        return Reference(rows=self.rows, columns=columns, types=types)


def read_reference(arrow_ipc: bytes) -> Reference:
    """Read an Arrow IPC stream.

    Raises
    ------
    SchemaMismatch
        If it has no rows.
    """
    with pa.ipc.open_stream(arrow_ipc) as stream:
        table = stream.read_all()
    if table.num_rows == 0:
        msg = "the reference table has no rows"
        raise SchemaMismatch(msg, hint="give a table with at least 50 rows")
    types = {field.name: _type(field.type) for field in table.schema}
    columns = {name: _values(table.column(name), types[name]) for name in table.column_names}
    return Reference(rows=table.num_rows, columns=columns, types=types)


def _type(kind: Any) -> ColumnType:  # noqa: ANN401 - pyarrow ships no types
    """Map an Arrow type to the four of kilter."""
    if pa.types.is_boolean(kind):
        return ColumnType.BOOLEAN
    if pa.types.is_integer(kind):
        return ColumnType.INTEGER
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return ColumnType.FLOAT
    return ColumnType.TEXT


def _values(column: Any, kind: ColumnType) -> NDArray[Any]:  # noqa: ANN401 - pyarrow ships no types
    """Turn one Arrow column into an array."""
    if kind is ColumnType.TEXT:
        texts = np.empty(len(column), dtype=np.object_)
        texts[:] = [None if value is None else str(value) for value in column.to_pylist()]
        return texts
    return np.array([np.nan if value is None else float(value) for value in column.to_pylist()], dtype=np.float64)


def _numbers(texts: NDArray[Any]) -> NDArray[np.float64] | None:
    """Read text cells as numbers, blanks as missing; None if any cell is something else."""
    try:
        return np.array(
            [np.nan if value is None or not value.strip() else float(value) for value in texts.tolist()],
            dtype=np.float64,
        )
    except ValueError:
        return None
