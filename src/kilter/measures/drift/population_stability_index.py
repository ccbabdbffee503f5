"""The population stability index (PSI) over ten groups of the reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.measures import _histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.contracts.reading import Reading

__all__ = ["measure"]

METRIC = "population_stability_index"
_GROUPS = 10


def measure(p: NDArray[np.int64], q: NDArray[np.int64], *, subject: str = "model") -> Reading:
    """Symmetrised relative entropy between shares in ten reference groups, less its null mean.

    In plain words: the drift number that banks use; below 0.1 is usually called stable, above 0.25 a shift.

    Parameters
    ----------
    p : int64 array of shape (cells,)
        The reference's counts, in the order of the values.
    q : int64 array of shape (cells,)
        The window's counts in the same cells.
    subject : str, default "model"
        What the counts are of, ``column:age`` say.

    Returns
    -------
    Reading, direction "lower"
        >= 0 as shown; bias-corrected, unclipped in ``extra``.

    Raises
    ------
    SchemaMismatch
        If the cells differ or a count is below 0.

    Notes
    -----
    sum (q - p) ln(q / p) over at most 10 groups of equal reference mass, each count + 1/2, less (B - 1) h.
    Interval +- 1.96 sqrt(delta variance + 2 (B - 1) h^2), h = 1/n + 1/m. O(cells).
    The usual limits of .1 and .25 are customs, not tests.

    References
    ----------
    Yurdakul, Naranjo (2020), Journal of Risk Model Validation 14, doi 10.21314/JRMV.2020.227.

    Examples
    --------
    >>> reading = measure(np.array([5000, 5000]), np.array([6000, 4000]))
    >>> round(reading.estimate or 0, 3)
    0.04
    """
    _histogram.require_same_cells(p, q)
    if (nothing := _histogram.no_data(METRIC, subject, p, q)) is not None:
        return nothing
    m, n = int(p.sum()), int(q.sum())
    before = (np.cumsum(p) - p / 2) / m
    groups = np.minimum((before * _GROUPS).astype(np.int64), _GROUPS - 1)
    _, groups = np.unique(groups, return_inverse=True)
    ps, qs = np.bincount(groups, p) + 0.5, np.bincount(groups, q) + 0.5
    ps, qs = ps / ps.sum(), qs / qs.sum()
    h = 1 / n + 1 / m
    plain = float(((qs - ps) * np.log(qs / ps)).sum())
    freedom = ps.size - 1
    a, b = np.log(qs / ps) + 1 - ps / qs, 1 - np.log(qs / ps) - qs / ps
    variance = (qs @ (a * a) - (qs @ a) ** 2) / n + (ps @ (b * b) - (ps @ b) ** 2) / m
    half = 1.96 * math.sqrt(max(0.0, float(variance)) + 2 * freedom * h * h)
    raw = plain - freedom * h
    return _histogram.distance(METRIC, subject, raw=raw, low=raw - half, high=raw + half, n=n, m=m, method="delta")
