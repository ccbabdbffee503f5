"""The Jensen-Shannon divergence in bits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.measures import _histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.contracts.reading import Reading

__all__ = ["measure"]

METRIC = "jensen_shannon"


def measure(p: NDArray[np.int64], q: NDArray[np.int64], *, subject: str = "model") -> Reading:
    """Mean relative entropy of two distributions to their mixture, in bits, less its null mean.

    In plain words: 0 when two distributions agree, 1 when they have nothing in common.

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
        In [0, 1]; bias-corrected, unclipped in ``extra`` with the root as ``js_distance``.

    Raises
    ------
    SchemaMismatch
        If the cells differ or a count is below 0.

    Notes
    -----
    H((p + q) / 2) - (H(p) + H(q)) / 2 in base 2, less (B - 1) h / (8 ln 2). Interval +- 1.96 standard errors by the
    delta method, with the null spread 2 (B - 1) h^2 / (8 ln 2)^2 as floor; h = 1/n + 1/m. O(cells).

    References
    ----------
    Lin (1991), IEEE Transactions on Information Theory 37, doi 10.1109/18.61115.

    Examples
    --------
    >>> reading = measure(np.array([1000, 0]), np.array([0, 1000]))
    >>> round(reading.extra["raw"] or 0, 2)
    1.0
    """
    _histogram.require_same_cells(p, q)
    if (nothing := _histogram.no_data(METRIC, subject, p, q)) is not None:
        return nothing
    m, n = int(p.sum()), int(q.sum())
    p_rows, q_rows = _histogram.pooled(p, q)
    ps, qs = p_rows / m, q_rows / n
    middle = (ps + qs) / 2
    h = 1 / n + 1 / m
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(qs > 0, np.log2(qs / middle), 0.0)
        b = np.where(ps > 0, np.log2(ps / middle), 0.0)
    plain = 0.5 * float(ps @ b + qs @ a)
    freedom = ps.size - 1
    variance = 0.25 * ((qs @ (a * a) - (qs @ a) ** 2) / n + (ps @ (b * b) - (ps @ b) ** 2) / m)
    floor = 2 * freedom * (h / (8 * math.log(2))) ** 2
    half = 1.96 * math.sqrt(max(0.0, float(variance)) + floor)
    raw = plain - freedom * h / (8 * math.log(2))
    return _histogram.distance(
        METRIC, subject, raw=raw, low=raw - half, high=raw + half, n=n, m=m, method="delta", top=1.0
    )
