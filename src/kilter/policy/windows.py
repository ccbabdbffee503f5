"""Which monitoring windows are due, and when their labels are complete enough to count."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.monitor import LabelCoverage

__all__ = ["BOUND", "check_again_s", "grid_start", "horizon_s", "is_mature", "window_count"]

BOUND = 24
"""A window grows to at most this many base windows while it has too few rows."""

_ENOUGH = 0.8
_DEFAULT_WINDOWS = 7
_MARGIN = 1.5


def grid_start(first_ns: int, window_ns: int) -> int:
    """Return the start of the base window that holds the first prediction.

    Parameters
    ----------
    first_ns : int
        Time of the first prediction, nanoseconds since the epoch.
    window_ns : int > 0
        Length of a base window.

    Returns
    -------
    int
        A multiple of the length: the grid does not depend on when anybody looks.

    Raises
    ------
    ZeroDivisionError
        If the length is 0.

    Examples
    --------
    >>> grid_start(3_700, 3_600)
    3600
    """
    return first_ns // window_ns * window_ns


def window_count(counts: Sequence[int], *, min_rows: int) -> int | None:
    """Return how many base windows make the next window, or None to wait for more.

    Parameters
    ----------
    counts : sequence of int
        Rows of each base window that is over, oldest first, from where the last window ended.
    min_rows : int
        Rows that a window should have.

    Returns
    -------
    int or None
        The least number of base windows that hold enough rows, at most ``BOUND``.

    Raises
    ------
    Nothing
        Any counts will do.

    Examples
    --------
    >>> window_count([300, 300, 900], min_rows=500), window_count([300], min_rows=500)
    (2, None)
    """
    rows = 0
    for position, count in enumerate(counts[:BOUND], start=1):
        rows += count
        if rows >= min_rows or position == BOUND:
            return position
    return None


def horizon_s(declared_s: float | None, delays_p95_s: Sequence[float], *, window_s: float) -> float:
    """Return the age at which a window no longer waits for labels.

    Parameters
    ----------
    declared_s : float or None
        ``[data] label_delay``.
    delays_p95_s : sequence of float
        95 % quantiles of the delay in earlier mature windows.
    window_s : float
        Length of a base window.

    Returns
    -------
    float
        Declared, else 1.5 times the median of the learned ones (at least a window), else seven windows.

    Raises
    ------
    Nothing
        Any delays will do.

    Examples
    --------
    >>> horizon_s(None, [], window_s=3600.0), horizon_s(60.0, [], window_s=3600.0)
    (25200.0, 60.0)
    """
    if declared_s is not None:
        return declared_s
    if not delays_p95_s:
        return _DEFAULT_WINDOWS * window_s
    return max(window_s, _MARGIN * median(delays_p95_s))


def is_mature(coverage: LabelCoverage, *, age_s: float, horizon_s: float) -> bool:
    """Say whether a window's labels may count now; once counted they are not counted again.

    Parameters
    ----------
    coverage : LabelCoverage
        Predictions and labels of the window.
    age_s : float
        Time since its end.
    horizon_s : float
        Age at which it no longer waits.

    Returns
    -------
    bool
        True from 80 % of labels on, or at the horizon.

    Raises
    ------
    Nothing
        Any coverage will do.

    Examples
    --------
    >>> from kilter.contracts.monitor import LabelCoverage
    >>> is_mature(LabelCoverage(predictions=10, joined=8, pending=2, missing=0), age_s=0.0, horizon_s=60.0)
    True
    """
    return age_s >= horizon_s or coverage.joined >= math.ceil(_ENOUGH * coverage.predictions) > 0


def check_again_s(age_s: float, *, window_s: float) -> float:
    """Return after how long a waiting window's labels are worth another look.

    Parameters
    ----------
    age_s : float
        Time since the window's end.
    window_s : float
        Length of a base window.

    Returns
    -------
    float
        A quarter window or a tenth of its age, so the number of looks grows with the logarithm of the wait.

    Raises
    ------
    Nothing
        Any age will do.

    Examples
    --------
    >>> check_again_s(100.0, window_s=40.0), check_again_s(1000.0, window_s=40.0)
    (10.0, 100.0)
    """
    return max(window_s / 4, age_s / 10)
