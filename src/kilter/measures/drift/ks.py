"""The largest gap between two cumulative distributions (Kolmogorov-Smirnov)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.measures import _histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.contracts.reading import Reading

__all__ = ["measure"]

METRIC = "ks"


def measure(p: NDArray[np.int64], q: NDArray[np.int64], *, subject: str = "model") -> Reading:
    """Largest gap between the cumulative shares of reference and window.

    In plain words: the biggest difference in the share of rows below any one value.

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
        In [0, 1]; the interval holds for ties and atoms alike.

    Raises
    ------
    SchemaMismatch
        If the cells differ or a count is below 0.

    Notes
    -----
    max over cells of abs(F_window - F_reference), inclusive at each edge; exact where every edge is an edge of both.
    Interval +- (e(n) + e(m)), e(k) = sqrt(ln(4 / .05) / (2 k)), valid for any distribution. Nothing is subtracted:
    rank columns by the lower bound. O(cells). Not for unordered cells: use total variation.

    References
    ----------
    Massart (1990), Annals of Probability 18, doi 10.1214/aop/1176990746.

    Examples
    --------
    >>> reading = measure(np.array([50, 50]), np.array([80, 20]))
    >>> round(reading.estimate or 0, 3), round(reading.low or 0, 3)
    (0.3, 0.004)
    """
    _histogram.require_same_cells(p, q)
    if (nothing := _histogram.no_data(METRIC, subject, p, q)) is not None:
        return nothing
    m, n = int(p.sum()), int(q.sum())
    gap = float(np.abs(np.cumsum(q) / n - np.cumsum(p) / m).max())
    half = sum(math.sqrt(math.log(4 / 0.05) / (2 * rows)) for rows in (n, m))
    return _histogram.distance(
        METRIC, subject, raw=gap, low=gap - half, high=gap + half, n=n, m=m, method="dkw", top=1.0
    )
