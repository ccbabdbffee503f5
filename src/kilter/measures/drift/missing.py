"""How much more of a column is missing than in the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.reading import Direction, Reading
from kilter.measures import _histogram
from kilter.measures.interval import wilson_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["measure"]

METRIC = "missing"


def measure(p: NDArray[np.int64], q: NDArray[np.int64], *, subject: str = "model") -> Reading:
    """Share of the window's rows in the marked cell, beside the reference's share.

    In plain words: how many cells of this column are empty now, and how many were.

    Parameters
    ----------
    p : int64 array of shape (2,)
        The reference's rows: present, missing.
    q : int64 array of shape (2,)
        The window's rows: present, missing.
    subject : str, default "model"
        What the counts are of, ``column:age`` say.

    Returns
    -------
    Reading, direction "lower"
        Missing share of the window in [0, 1], Wilson interval; ``extra`` holds ``reference_share`` and the
        ``difference`` of the two.

    Raises
    ------
    SchemaMismatch
        If the shapes differ or a count is below 0.

    Notes
    -----
    Newcombe's intervals of the difference follow from the two Wilson intervals; decisions use e-values, not this.

    References
    ----------
    Wilson (1927), JASA 22, doi 10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> reading = measure(np.array([990, 10]), np.array([80, 20]))
    >>> reading.estimate, round(reading.low or 0, 3), round(reading.extra["difference"] or 0, 2)
    (0.2, 0.133, 0.19)
    """
    _histogram.require_same_cells(p, q)
    if (nothing := _histogram.no_data(METRIC, subject, p, q)) is not None:
        return nothing
    m, n = int(np.sum(p)), int(np.sum(q))
    before, share = float(p[1]) / m, float(q[1]) / n
    low, high = wilson_interval(float(q[1]), float(n))
    return Reading(
        metric=METRIC,
        subject=subject,
        estimate=share,
        low=low,
        high=high,
        interval_method="wilson",
        n=n,
        direction=Direction.LOWER,
        extra={"reference_share": before, "difference": share - before, "reference_n": m},
    )
