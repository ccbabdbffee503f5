"""Rows to learn from and rows to judge by, in order of time."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.signature import Signature, Task
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from kilter.contracts.arrays import Array, Columns
    from kilter.contracts.log import JoinedRows
    from kilter.measures.rows import TextArray

__all__ = ["holdout_start", "merged", "only_labelled", "training_columns"]

_HOLDOUT_SHARE = 0.3
_HOLDOUT_LABELS = 2_000
_TRUTH = {"true": 1.0, "false": 0.0}


def holdout_start(times_ns: Array) -> int:
    """Return where the newest rows begin that are kept from training: 2,000 labels, at most 30 %."""
    times = np.sort(np.asarray(times_ns))
    kept = max(1, min(_HOLDOUT_LABELS, int(_HOLDOUT_SHARE * times.size)))
    return int(times[-kept])


def only_labelled(rows: JoinedRows) -> JoinedRows:
    """Return the rows that have a label."""
    keep = np.array([label is not None for label in np.asarray(rows.labels, dtype=np.object_).tolist()], dtype=np.bool_)
    if bool(keep.all()):
        return rows
    names = (field.name for field in fields(rows) if field.name not in {"n", "columns"})
    arrays: dict[str, Array] = {name: np.asarray(getattr(rows, name))[keep] for name in names}
    columns = {name: np.asarray(cells)[keep] for name, cells in rows.columns.items()}
    return replace(rows, n=int(keep.sum()), columns=columns, **arrays)


def training_columns(signature: Signature, columns: Columns, labels: Array) -> dict[str, Array]:
    """Return input columns and the target.

    Class names that are all numbers become numbers, and rows with another label are left out; text labels
    of classes that the signature does not know are kept: a new class is something to learn.
    """
    cells: TextArray = np.asarray(labels, dtype=np.object_)
    names = signature.classes if signature.task is not Task.REGRESSION else ()
    table: dict[str, Array] = {column.name: columns[column.name] for column in signature.columns}
    if any(np.isnan(_number(name)) for name in names):
        return {**table, signature.target: cells}
    numbers = np.array([_number(cell) for cell in cells.tolist()], dtype=np.float64)
    keep = ~np.isnan(numbers)
    return {name: np.asarray(column)[keep] for name, column in {**table, signature.target: numbers}.items()}


def merged(reference: Columns, newer: Columns) -> dict[str, Array]:
    """Put the reference rows before the newer ones; columns that only the reference has are left out.

    Raises
    ------
    SchemaMismatch
        If the reference lacks a column, or holds another kind of values in it.
    """
    table: dict[str, Array] = {}
    for name, cells in newer.items():
        if name not in reference or np.asarray(reference[name]).dtype.kind != np.asarray(cells).dtype.kind:
            message = f"column `{name}` of the reference data is missing or not of the kind that was logged"
            raise SchemaMismatch(message, hint="set `retrain.action = 'fresh'` to train on logged rows alone")
        table[name] = np.concatenate([np.asarray(reference[name]), np.asarray(cells)])
    return table


def _number(text: str) -> float:
    """Read a label as a number; NaN if it is none."""
    try:
        return _TRUTH[text] if text in _TRUTH else float(text)
    except ValueError:
        return float("nan")
