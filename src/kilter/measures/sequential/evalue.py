"""E-values of one window: how strongly its rows speak against "within tolerance"."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.errors import InvalidRequest, SchemaMismatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray

__all__ = ["bounded", "cells", "rate", "sets"]

_STEPS = (0.02, 0.06, 0.18)
_BETS = 8
_CAP = 690.7755278982137  # ln(1e300)


def sets(
    k: FloatArray, n: int, shares: FloatArray, eps: FloatArray | float, tau: float, *, design: float = 1.0
) -> float:
    """Evidence that the share of some set has moved by more than a tolerance, either way.

    In plain words: how surprising the window's shares are if nothing had moved by more than tolerated.

    Parameters
    ----------
    k : float array of shape (sets,)
        Rows of the window in each set.
    n : int >= 0
        Rows of the window.
    shares : float array of shape (sets,), in [0, 1]
        Share of each set in the reference.
    eps : float array of shape (sets,) or float, >= 0
        Half-width of the reference's own uncertainty.
    tau : float >= 0
        Tolerated change of a share.
    design : float >= 1, default 1
        Design effect of dependent rows; the e-value is tempered to E ** (1 / design).

    Returns
    -------
    float
        Natural logarithm of the e-value; 0 if there are no rows or no testable set.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length.

    Notes
    -----
    E for a set, a side and a step d is ((u+d)/u)^k ((1-u-d)/(1-u))^(n-k) with u = share + eps + tau, and the result is
    the mean over sets, sides and d in .02, .06, .18; members with u + d >= 1 are left out. Its mean is at most 1 for
    independent rows while |change| <= tau and the reference bands hold. O(sets).

    References
    ----------
    Vovk, Wang (2021), Annals of Statistics 49, doi 10.1214/20-AOS2020. Ramdas et al. (2023), doi 10.1214/23-STS894.

    Examples
    --------
    >>> round(sets(np.array([50.0]), 100, np.array([0.5]), 0.0, 0.05), 2) <= 0
    True
    >>> sets(np.array([90.0]), 100, np.array([0.5]), 0.0, 0.05) > 10
    True
    """
    if k.shape != shares.shape:
        msg = f"sets need one count and one share each, got {k.shape} and {shares.shape}"
        raise SchemaMismatch(msg)
    if n == 0 or k.size == 0:
        return 0.0
    hits = np.concatenate([k, n - k])
    limits = np.concatenate([shares + eps + tau, 1 - shares + eps + tau])
    terms = [_ratio(hits[limits + d < 1], n, limits[limits + d < 1], d) for d in _STEPS]
    return _mean_log(np.concatenate(terms)) / design


def rate(k: float, n: int, limit: float, *, design: float = 1.0) -> float:
    """Evidence that a rate is above its limit.

    In plain words: how surprising this many hits are if the rate were within its limit.

    Parameters
    ----------
    k : float in [0, n]
        Hits.
    n : int >= 0
        Trials.
    limit : float in [0, 1]
        Largest rate that is tolerated.
    design : float >= 1, default 1
        Design effect of dependent trials.

    Returns
    -------
    float
        Natural logarithm of the e-value; 0 if there are no trials or the limit leaves no room.

    Raises
    ------
    Nothing
        Limits outside the range leave nothing to test.

    Notes
    -----
    One side of ``sets``. O(1).

    References
    ----------
    Ramdas et al. (2023), Statistical Science 38, doi 10.1214/23-STS894.

    Examples
    --------
    >>> rate(0, 100, 0.02) < 0 < rate(20, 100, 0.02)
    True
    """
    if n == 0 or limit <= 0:
        return 0.0
    terms = [_ratio(np.array([float(k)]), n, np.array([limit]), d) for d in _STEPS if limit + d < 1]
    return _mean_log(np.concatenate(terms)) / design if terms else 0.0


def cells(n: NDArray[np.int64], g: FloatArray, *, design: float = 1.0) -> float:
    """Evidence that a mean over few distinct values is above 0.

    In plain words: for metrics that are counts over counts, such as accuracy: how surprising the counts are.

    Parameters
    ----------
    n : int64 array of shape (cells,)
        Rows of the window by cell of the confusion table.
    g : float array of shape (cells,)
        Value of each cell; the null hypothesis is E[g] <= 0.
    design : float >= 1, default 1
        Design effect of dependent rows.

    Returns
    -------
    float
        Natural logarithm of the e-value; 0 if there are no rows.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length.

    Notes
    -----
    mean over j of prod (1 + l_j g_c)^n_c, l_j = (0.9 / max(-min g, .01)) 2^-j, j = 0..7. For accuracy at least f0:
    g = f0 - 1 for a right answer and f0 for a wrong one. O(cells).

    References
    ----------
    Waudby-Smith, Ramdas (2024), JRSS B 86, doi 10.1093/jrsssb/qkad009.

    Examples
    --------
    >>> cells(np.array([90, 10]), np.array([-0.12, 0.88])) < 0 < cells(np.array([60, 40]), np.array([-0.12, 0.88]))
    True
    """
    if n.shape != g.shape:
        msg = f"cells need one count and one value each, got {n.shape} and {g.shape}"
        raise SchemaMismatch(msg)
    if not n.any():
        return 0.0
    bets = 0.9 / max(-float(g.min()), 0.01) * 2.0 ** -np.arange(_BETS)
    return _mean_log(np.log1p(bets[:, None] * g[None, :]) @ n.astype(np.float64)) / design


def bounded(s1: float, s2: float, r0: float, *, low: float = 0.0, design: float = 1.0) -> float:
    """Evidence that the mean of a bounded loss is above a limit.

    In plain words: how surprising the window's mean loss is if the true one were within its limit.

    Parameters
    ----------
    s1 : float
        Sum over rows of (loss - r0).
    s2 : float >= 0
        Sum over rows of (loss - r0) squared.
    r0 : float above ``low``
        Largest mean that is tolerated.
    low : float, default 0
        Smallest value that the loss can take.
    design : float >= 1, default 1
        Design effect of dependent rows.

    Returns
    -------
    float
        Natural logarithm of the e-value; 0 for no rows.

    Raises
    ------
    InvalidRequest
        If r0 is not above the smallest loss.

    Notes
    -----
    mean over j of exp(l_j s1 - l_j^2 s2), l_j = (0.5 / (r0 - low)) 2^-j, j = 0..7; an e-value since
    ln(1 + y) >= y - y^2 for y >= -1/2. Needs sums only; twice as wasteful as the exact product in the spread. O(1).

    References
    ----------
    Waudby-Smith, Ramdas (2024), JRSS B 86, doi 10.1093/jrsssb/qkad009.

    Examples
    --------
    >>> loss = np.full(200, 0.3) - 0.2
    >>> bounded(float(loss.sum()), float((loss**2).sum()), 0.2) > 10
    True
    """
    if r0 <= low:
        msg = f"the tolerated mean {r0:g} must be above the smallest loss {low:g}"
        raise InvalidRequest(msg)
    bets = 0.5 / (r0 - low) * 2.0 ** -np.arange(_BETS)
    return _mean_log(bets * s1 - bets**2 * s2) / design


def _ratio(k: FloatArray, n: int, limit: FloatArray, d: float) -> FloatArray:
    """Return logs of the binomial likelihood ratios of limit + d against limit."""
    return k * np.log1p(d / limit) + (n - k) * np.log1p(-d / (1 - limit))


def _mean_log(terms: FloatArray) -> float:
    """Return the log of the mean of exponentials, capped; 0 for none."""
    if terms.size == 0:
        return 0.0
    top = float(terms.max())
    return min(_CAP, top + math.log(float(np.exp(terms - top).mean())))
