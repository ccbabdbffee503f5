"""How many cells of each column are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Basis, Direction, Reading

if TYPE_CHECKING:
    from kilter.contracts.arrays import Array

__all__ = ["CHECK", "missing_share", "run"]

CHECK: Final = CheckSpec(
    id="missing_share",
    title="Share of missing cells, column by column",
    needs=("columns",),
    direction=Direction.LOWER,
    unit_range=True,
)


def missing_share(values: Array) -> float:
    """Share of the cells of one column that are missing.

    In plain words: how many of 100 cells are empty.

    Parameters
    ----------
    values : array of shape (n,)
        Object (None = missing) or float64 (NaN = missing).

    Returns
    -------
    float in [0, 1], direction "lower"
        0 for a column without rows.

    Raises
    ------
    SchemaMismatch
        Never.

    Notes
    -----
    O(n). Values that stand for missing, such as -999 or "?", are not recognised.

    References
    ----------
    None; a count.

    Examples
    --------
    >>> missing_share(np.array([1.0, np.nan, 3.0, 4.0]))
    0.25
    """
    cells = np.asarray(values)
    if cells.size == 0:
        return 0.0
    if cells.dtype.kind == "O":
        return sum(cell is None for cell in cells.tolist()) / cells.size
    return float(np.isnan(cells.astype(np.float64)).mean())


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure each column's share; ``missing_faults`` counts columns that may not have missing cells, but do."""
    columns = [column for column in inputs.signature.columns if column.name in inputs.columns]
    if not columns:
        return (
            Reading(metric=CHECK.id, subject="dataset", not_evaluated="no_scores: no column of the model is there"),
        )
    shares = {column.name: missing_share(inputs.columns[column.name]) for column in columns}
    faults = [column.name for column in columns if shares[column.name] > 0 and not column.nullable]
    rows = {column.name: inputs.columns[column.name].shape[0] for column in columns}
    extra = {"columns": ", ".join(faults[:10])}
    return (
        _census("missing_faults", "dataset", float(len(faults)), max(rows.values()), extra),
        *(_census(CHECK.id, f"column:{name}", share, rows[name], {}) for name, share in shares.items()),
    )


def _census(metric: str, subject: str, estimate: float, n: int, extra: dict[str, str]) -> Reading:
    """Make a reading of a plain fact about the rows."""
    return Reading(
        metric=metric,
        subject=subject,
        estimate=estimate,
        n=n,
        direction=CHECK.direction,
        basis=Basis.CENSUS,
        extra={**extra},
    )
