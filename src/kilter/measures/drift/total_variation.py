"""The share of rows that would have to move to another cell (total variation)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.measures import _histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.contracts.reading import Reading

__all__ = ["measure"]

METRIC = "total_variation"


def measure(p: NDArray[np.int64], q: NDArray[np.int64], *, subject: str = "model") -> Reading:
    """Half the sum of absolute differences of shares, less what chance alone gives.

    In plain words: what part of the rows lies in other boxes than it used to.

    Parameters
    ----------
    p : int64 array of shape (cells,)
        The reference's counts; neighbours are merged where few rows are expected.
    q : int64 array of shape (cells,)
        The window's counts in the same cells.
    subject : str, default "model"
        What the counts are of, ``column:age`` say.

    Returns
    -------
    Reading, direction "lower"
        In [0, 1]; bias-corrected, the uncorrected value less its null mean is in ``extra``.

    Raises
    ------
    SchemaMismatch
        If the cells differ or a count is below 0.

    Notes
    -----
    TV - 1/2 sum sqrt(2/pi * pbar (1 - pbar) h) with h = 1/n + 1/m. Interval
    [TV - 1/2 sum sqrt(p (1-p)/m + q (1-q)/n) - w, TV + w], w = sqrt(h ln(2/.05) / 2). O(cells).
    Cells are merged with their neighbours until the smaller sample expects 5 rows in each.

    References
    ----------
    Devroye, Lugosi (2001), Combinatorial Methods in Density Estimation, doi 10.1007/978-1-4613-0125-7.

    Examples
    --------
    >>> reading = measure(np.array([500, 500]), np.array([800, 200]))
    >>> round(reading.estimate or 0, 3)
    0.283
    """
    _histogram.require_same_cells(p, q)
    if (nothing := _histogram.no_data(METRIC, subject, p, q)) is not None:
        return nothing
    m, n = int(p.sum()), int(q.sum())
    p_rows, q_rows = _histogram.pooled(p, q)
    ps, qs = p_rows / m, q_rows / n
    h = 1 / n + 1 / m
    middle = (p_rows + q_rows) / (m + n)
    plain = 0.5 * float(np.abs(qs - ps).sum())
    chance = 0.5 * float(np.sqrt(2 / math.pi * middle * (1 - middle) * h).sum())
    spread = 0.5 * float(np.sqrt(ps * (1 - ps) / m + qs * (1 - qs) / n).sum())
    w = math.sqrt(h * math.log(2 / 0.05) / 2)
    return _histogram.distance(
        METRIC,
        subject,
        raw=plain - chance,
        low=plain - spread - w,
        high=plain + w,
        n=n,
        m=m,
        method="mcdiarmid",
        top=1.0,
    )
