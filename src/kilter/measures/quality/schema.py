"""Whether a table has the columns and types that the model was registered with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Basis, Direction, Reading
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import SchemaMismatch
from kilter.measures.rows import label_indexes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.arrays import Array

__all__ = ["CHECK", "run", "schema_faults"]

CHECK: Final = CheckSpec(
    id="schema_faults",
    title="Columns that are missing or do not fit their type",
    needs=("columns",),
    direction=Direction.LOWER,
)

_NUMBER_KINDS: Final = "fiub"
_EXACT: Final = 2.0**53


def schema_faults(signature: Signature, columns: Mapping[str, Array]) -> dict[str, str]:
    """Name the columns that are absent or cannot be cast to their type without loss.

    In plain words: is this the kind of table that the model was made for.

    Parameters
    ----------
    signature : Signature
        Columns and types wanted; with the target, its classes.
    columns : mapping of name to array of shape (n,)
        The table. The order does not matter; further columns are no fault.

    Returns
    -------
    dict of column name to fault, empty if all is well

    Raises
    ------
    SchemaMismatch
        Never; what does not fit is the answer.

    Notes
    -----
    Numbers may be given as text that reads as numbers; integers must be whole and at most 2**53; booleans 0, 1,
    true or false; text may be anything. Missing cells are not judged here (`missing_share`). A target that is
    there must hold known classes. O(n d).

    References
    ----------
    Breck et al. (2019), SysML, Data Validation for Machine Learning.

    Examples
    --------
    >>> signature = Signature(
    ...     task=Task.REGRESSION,
    ...     target="y",
    ...     columns=(Column(name="age", type=ColumnType.INTEGER), Column(name="plan", type=ColumnType.TEXT)),
    ... )
    >>> schema_faults(signature, {"age": np.array([31.0, 4.5])})
    {'age': '1 of 2 cells are not whole numbers, such as 4.5', 'plan': 'the column is missing'}
    """
    faults = {}
    for column in signature.columns:
        fault = _fault(column, columns[column.name]) if column.name in columns else "the column is missing"
        if fault:
            faults[column.name] = fault
    if signature.target in columns and signature.target not in faults:
        fault = _target_fault(signature, columns[signature.target])
        if fault:
            faults[signature.target] = fault
    return faults


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Count faults: one reading for the table, one per column at fault."""
    if not inputs.columns:
        return (Reading(metric=CHECK.id, subject="dataset", not_evaluated="no_scores: no columns were given"),)
    faults = schema_faults(inputs.signature, inputs.columns)
    known = {column.name for column in inputs.signature.columns} | {inputs.signature.target}
    further = sum(name not in known for name in inputs.columns)
    n = max(values.shape[0] for values in inputs.columns.values())
    return (
        _count("dataset", len(faults), n, {"further_columns": further}),
        *(_count(f"column:{name}", 1, n, {"fault": fault}) for name, fault in faults.items()),
    )


def _count(subject: str, count: int, n: int, extra: Mapping[str, int | str]) -> Reading:
    """Make a reading of a plain count."""
    return Reading(
        metric=CHECK.id,
        subject=subject,
        estimate=float(count),
        n=n,
        direction=CHECK.direction,
        basis=Basis.CENSUS,
        extra={**extra},
    )


def _fault(column: Column, values: Array) -> str:
    """Say what is wrong with one column; empty if nothing is."""
    if column.type is ColumnType.TEXT:
        return ""
    cells = np.asarray(values)
    if cells.dtype.kind in _NUMBER_KINDS:
        numbers = cells.astype(np.float64)
    else:
        texts = [cell for cell in cells.tolist() if cell is not None]
        wrong = [cell for cell in texts if not _reads_as_number(cell)]
        if wrong:
            return f"{len(wrong)} of {cells.size} cells are not numbers, such as {_shown(wrong[0])}"
        numbers = np.array([float(_plain(cell)) for cell in texts], dtype=np.float64)
    return _number_fault(column.type, numbers[~np.isnan(numbers)], cells.size)


def _number_fault(kind: ColumnType, numbers: np.typing.NDArray[np.float64], rows: int) -> str:
    """Say which numbers cannot be of the type; empty if all can."""
    endless = np.isinf(numbers)
    if endless.any():
        return f"{int(endless.sum())} of {rows} cells are infinite"
    if kind is ColumnType.INTEGER:
        wrong, name = (numbers != np.floor(numbers)) | (np.abs(numbers) > _EXACT), "whole numbers"
    elif kind is ColumnType.BOOLEAN:
        wrong, name = (numbers != 0) & (numbers != 1), "0 or 1"
    else:
        return ""
    return f"{int(wrong.sum())} of {rows} cells are not {name}, such as {numbers[wrong][0]:g}" if wrong.any() else ""


def _target_fault(signature: Signature, labels: Array) -> str:
    """Say which labels the model cannot give; empty if it can give all."""
    cells = np.asarray(labels)
    given = cells[[cell is not None and cell == cell for cell in cells.tolist()]]  # noqa: PLR0124 - NaN differs from itself
    try:
        unknown = np.isnan(label_indexes(signature, given))
    except (SchemaMismatch, ValueError, TypeError):
        return "labels are not of the model's kind"
    if not unknown.any():
        return ""
    known = "numbers" if signature.task is Task.REGRESSION else "among " + ", ".join(signature.classes[:5])
    return f"{int(unknown.sum())} of {cells.size} labels are not {known}, such as {_shown(given[unknown][0])}"


def _reads_as_number(cell: object) -> bool:
    """Say whether a text cell holds a number or a truth value."""
    try:
        float(_plain(cell))
    except ValueError:
        return False
    return True


def _plain(cell: object) -> str:
    """Return a cell's text, with truth values as 1 and 0."""
    text = str(cell)
    return {"true": "1", "false": "0"}.get(text, text)


def _shown(value: object) -> str:
    """Quote a cell, cut to 40 characters."""
    return f"`{str(value)[:40]}`"
