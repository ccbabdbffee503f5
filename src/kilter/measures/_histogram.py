"""What the distances between two histograms share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.reading import Direction, Reading
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray

_LEAST_EXPECTED = 5.0


def require_same_cells(p: NDArray[np.int64], q: NDArray[np.int64]) -> None:
    """Raise SchemaMismatch unless both are counts of the same cells."""
    if p.ndim != 1 or p.shape != q.shape:
        msg = f"two histograms need the same cells, got shapes {p.shape} and {q.shape}"
        raise SchemaMismatch(msg)
    if p.size and min(int(p.min()), int(q.min())) < 0:
        msg = "a histogram holds a count below 0"
        raise SchemaMismatch(msg)


def pooled(p: NDArray[np.int64], q: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Merge neighbouring cells until the smaller sample expects at least 5 rows in each."""
    m, n = int(p.sum()), int(q.sum())
    smaller = min(m, n)
    expected = (p + q) * (smaller / (m + n))
    groups = np.zeros(p.size, dtype=np.int64)
    group, mass = 0, 0.0
    for cell, share in enumerate(expected.tolist()):
        if mass >= _LEAST_EXPECTED:
            group, mass = group + 1, 0.0
        groups[cell] = group
        mass += share
    if group and mass < _LEAST_EXPECTED:
        groups[groups == group] = group - 1
    return np.bincount(groups, p).astype(np.float64), np.bincount(groups, q).astype(np.float64)


def no_data(metric: str, subject: str, p: NDArray[np.int64], q: NDArray[np.int64]) -> Reading | None:
    """Return the reading of an empty sample, or None if both have rows."""
    if int(p.sum()) and int(q.sum()):
        return None
    where = "window" if int(p.sum()) else "reference"
    return Reading(
        metric=metric,
        subject=subject,
        direction=Direction.LOWER,
        not_evaluated=f"no_data: the {where} has no rows here",
    )


def distance(
    metric: str,
    subject: str,
    *,
    raw: float,
    low: float,
    high: float,
    n: int,
    m: int,
    method: str,
    top: float = math.inf,
) -> Reading:
    """Return a distance as a reading, shown within its range and kept unclipped in ``extra``."""

    def shown(value: float) -> float:
        return float(min(max(value, 0.0), top))

    return Reading(
        metric=metric,
        subject=subject,
        estimate=shown(raw),
        low=shown(low),
        high=shown(high),
        interval_method=method,
        n=n,
        direction=Direction.LOWER,
        extra={"raw": float(raw), "reference_n": m},
    )
