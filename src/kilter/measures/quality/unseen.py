"""Values that the reference data did not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Basis, Direction, Reading
from kilter.contracts.signature import Column, ColumnType

if TYPE_CHECKING:
    from kilter.contracts.arrays import Array

__all__ = ["CHECK", "run", "unseen_share"]

CHECK: Final = CheckSpec(
    id="unseen_share",
    title="Share of values that the reference data did not hold",
    needs=("columns",),
    direction=Direction.LOWER,
    unit_range=True,
)

_SLACK: Final = 0.25
_METRICS: Final = ("unseen_level_share", "outside_range_share")


def unseen_share(column: Column, values: Array) -> float:
    """Share of rows with an unknown level, or a number far outside the reference range.

    In plain words: how many of 100 values the model never saw the like of.

    Parameters
    ----------
    column : Column
        Known levels of a text, or lowest and highest number; without them the share is 0.
    values : array of shape (n,)
        Object (text or None) or float64 (NaN = missing).

    Returns
    -------
    float in [0, 1], direction "lower"
        Missing cells are not unseen. 0 for a column without rows.

    Raises
    ------
    TypeError, ValueError
        If a number column holds something that is no number.

    Notes
    -----
    O(n). A number is far outside if it is beyond the range of the reference rows by more than a quarter of the
    range's width: of fresh rows of the same kind, about 2 in m lie just outside the range of m rows by chance.

    References
    ----------
    None; a count.

    Examples
    --------
    >>> plan = Column(name="plan", type=ColumnType.TEXT, levels=("free", "pro"))
    >>> unseen_share(plan, np.array(["pro", "team", None, "free"], dtype=object))
    0.25
    >>> unseen_share(Column(name="age", type=ColumnType.FLOAT, low=18.0, high=90.0), np.array([17.0, 120.0]))
    0.5
    """
    cells = np.asarray(values)
    if cells.size == 0:
        return 0.0
    if column.type is ColumnType.TEXT:
        known = {*column.levels, None}
        return sum(cell not in known for cell in cells.tolist()) / cells.size if column.levels else 0.0
    numbers = cells.astype(np.float64)
    if column.low is None or column.high is None:
        return 0.0
    slack = _SLACK * (column.high - column.low)
    return float(((numbers < column.low - slack) | (numbers > column.high + slack)).mean())


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure unseen levels of text columns, and numbers far outside the reference range."""
    readings = []
    for column in inputs.signature.columns:
        has_reference = bool(column.levels) if column.type is ColumnType.TEXT else column.low is not None
        if not has_reference or column.name not in inputs.columns:
            continue
        readings.append(_reading(column, inputs.columns[column.name]))
    found = {reading.metric for reading in readings}
    reason = "no_reference: no column of this kind with known values"
    absent = [Reading(metric=name, subject="dataset", not_evaluated=reason) for name in _METRICS if name not in found]
    return (*readings, *absent)


def _reading(column: Column, values: Array) -> Reading:
    """Make the reading of one column."""
    share: float | None = None
    reason: str | None = None
    try:
        share = unseen_share(column, values)
    except (TypeError, ValueError):
        reason = "unsupported_type: the column does not hold numbers"
    return Reading(
        metric=_METRICS[column.type is not ColumnType.TEXT],
        subject=f"column:{column.name}",
        estimate=share,
        n=values.shape[0],
        direction=CHECK.direction,
        basis=Basis.CENSUS,
        not_evaluated=reason,
    )
