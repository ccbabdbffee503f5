"""Intervals: one rule for all metrics, from the influence of each row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import bdtr, bdtrik, expit, logit, ndtri, stdtrit

from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray

    Groups = NDArray[np.object_] | NDArray[np.int64] | NDArray[np.str_]

__all__ = [
    "Influence",
    "logit_interval",
    "mean_interval",
    "paired_interval",
    "quantile_interval",
    "standard_error",
    "wilson_interval",
]


class Influence(NamedTuple):
    """A metric's estimate, what each row adds to its error, and the number of cases it rests on.

    ``psi`` sums to 0; ``n_eff`` counts the rows of the denominator (positives, for a recall).
    """

    estimate: float
    psi: FloatArray
    n_eff: int


def wilson_interval(successes: float, n: float, *, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share.

    In plain words: between which two values the true share lies, also when none or all of few cases are hits.

    Parameters
    ----------
    successes : float in [0, n]
        Number of hits; may be fractional for an effective count.
    n : float > 0
        Number of cases.
    level : float in (0, 1), default 0.95
        Two-sided coverage.

    Returns
    -------
    tuple of float, (low, high), both in [0, 1]
        Holds 0 where there is no hit, 1 where all are.

    Raises
    ------
    SchemaMismatch
        If n is not positive.

    Notes
    -----
    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). O(1). Cases are independent; for clustered rows
    give the effective count. Coverage at nominal 95 % oscillates between 93 % and 98 % for n >= 20.

    References
    ----------
    Wilson (1927), J. Am. Stat. Assoc. 22, doi 10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if n <= 0:
        msg = f"an interval of a share needs cases, got n = {n:g}"
        raise SchemaMismatch(msg, hint="give at least one case")
    z = float(ndtri((1 + level) / 2))
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    scale = 1 + z * z / n
    low = 0.0 if successes <= 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if successes >= n else min(1.0, (centre + half) / scale)
    return low, high


def standard_error(psi: FloatArray, *, groups: Groups | None = None) -> float:
    """Standard error of an estimate from the influence of its rows.

    In plain words: how far the number would typically move if other rows of the same kind had been drawn.

    Parameters
    ----------
    psi : float array of shape (n,)
        Influence values, summing to 0.
    groups : array of shape (n,) or None
        Cluster of each row (a customer, say); None: each row is its own.

    Returns
    -------
    float >= 0, in the metric's unit

    Raises
    ------
    SchemaMismatch
        If there are fewer than 2 clusters, or groups differ in length.

    Notes
    -----
    sqrt(G/(G-1) * sum over clusters of (sum of psi)^2) / n with G clusters. O(n), or O(n log n) with groups.
    Under 20 clusters it is too small; say so beside it.

    References
    ----------
    Liang, Zeger (1986), Biometrika 73, doi 10.1093/biomet/73.1.13.

    Examples
    --------
    >>> round(standard_error(np.array([-1.0, 0.0, 1.0])), 4)
    0.5774
    >>> round(standard_error(np.array([-1.0, -1.0, 1.0, 1.0]), groups=np.array([1, 1, 2, 2])), 4)
    1.0
    """
    return _spread(psi, groups)[0]


def mean_interval(
    estimate: float, psi: FloatArray, *, groups: Groups | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Student interval of an estimate on its own scale.

    In plain words: between which two values the true number lies.

    Parameters
    ----------
    estimate : float
        The metric's value.
    psi : float array of shape (n,)
        Influence values.
    groups : array of shape (n,) or None
        Cluster of each row.
    level : float in (0, 1), default 0.95
        Two-sided coverage.

    Returns
    -------
    tuple of float, (low, high)

    Raises
    ------
    SchemaMismatch
        If there are fewer than 2 clusters.

    Notes
    -----
    estimate +- t(G - 1) * standard_error. O(n). For values in [0, 1] use `logit_interval`.

    References
    ----------
    Hampel (1974), J. Am. Stat. Assoc. 69, doi 10.1080/01621459.1974.10482962.

    Examples
    --------
    >>> low, high = mean_interval(2.0, np.array([-1.0, 0.0, 1.0]))
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    se, clusters = _spread(psi, groups)
    half = float(stdtrit(clusters - 1, (1 + level) / 2)) * se
    return estimate - half, estimate + half


def logit_interval(
    estimate: float,
    psi: FloatArray,
    *,
    groups: Groups | None = None,
    n_eff: float | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of a metric in [0, 1], made on the logit scale.

    In plain words: between which two values the true number lies, never below 0 or above 1.

    Parameters
    ----------
    estimate : float in [0, 1]
        The metric's value.
    psi : float array of shape (n,)
        Influence values.
    groups : array of shape (n,) or None
        Cluster of each row.
    n_eff : float > 0 or None
        Cases that an observed 0 or 1 rests on (positives, for a recall); None: the clusters.
    level : float in (0, 1), default 0.95
        Two-sided coverage.

    Returns
    -------
    tuple of float, (low, high), both in [0, 1]

    Raises
    ------
    SchemaMismatch
        If there are fewer than 2 clusters.

    Notes
    -----
    expit(logit(e) +- t(G - 1) * se / (e (1 - e))); at exactly 0 or 1, where no row says anything about the
    spread, Wilson on min(n_eff, clusters). O(n). Coverage is measured in tests/accuracy/test_coverage.py.

    References
    ----------
    Agresti, Coull (1998), Am. Stat. 52, doi 10.1080/00031305.1998.10480550.

    Examples
    --------
    >>> hits = np.array([1.0, 1.0, 1.0, 0.0])
    >>> low, high = logit_interval(0.75, hits - 0.75)
    >>> round(low, 3), round(high, 3)
    (0.041, 0.995)
    >>> low, high = logit_interval(1.0, np.zeros(100), n_eff=10)
    >>> round(low, 3), high
    (0.722, 1.0)
    """
    se, clusters = _spread(psi, groups)
    if not 0 < estimate < 1:
        n = clusters if n_eff is None else min(n_eff, clusters)
        return wilson_interval(estimate * n, n, level=level)
    half = float(stdtrit(clusters - 1, (1 + level) / 2)) * se / (estimate * (1 - estimate))
    centre = float(logit(estimate))
    return float(expit(centre - half)), float(expit(centre + half))


def paired_interval(
    gain: float, psi_a: FloatArray, psi_b: FloatArray, *, groups: Groups | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the difference of two estimates on the same rows.

    In plain words: by how much one model beats another, with the luck of the rows taken out.

    Parameters
    ----------
    gain : float
        Estimate a minus estimate b.
    psi_a : float array of shape (n,)
        Influence values of a.
    psi_b : float array of shape (n,)
        Influence values of b, row by row the same rows.
    groups : array of shape (n,) or None
        Cluster of each row.
    level : float in (0, 1), default 0.95
        Two-sided coverage.

    Returns
    -------
    tuple of float, (low, high)

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or hold fewer than 2 clusters.

    Notes
    -----
    `mean_interval` of psi_a - psi_b. O(n). Equal models give an interval of width 0 at 0.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44, doi 10.2307/2531595, for the area under the curve.

    Examples
    --------
    >>> loss_a, loss_b = np.array([0.2, 0.4, 0.1]), np.array([0.3, 0.5, 0.3])
    >>> gain = float(loss_a.mean() - loss_b.mean())
    >>> low, high = paired_interval(gain, loss_a - loss_a.mean(), loss_b - loss_b.mean())
    >>> round(low, 3), round(high, 3)
    (-0.277, 0.01)
    """
    if psi_a.shape != psi_b.shape:
        msg = f"paired estimates need the same rows, got {psi_a.size} and {psi_b.size}"
        raise SchemaMismatch(msg, hint="score both on one table")
    return mean_interval(gain, psi_a - psi_b, groups=groups, level=level)


def quantile_interval(values: FloatArray, q: float, *, level: float = 0.95) -> tuple[float, float, float]:
    """Quantile with the interval between two order statistics.

    In plain words: what 99 of 100 calls stay below, and how sure that is.

    Parameters
    ----------
    values : float array of shape (n,)
        The sample, in any order.
    q : float in (0, 1)
        Which quantile.
    level : float in (0, 1), default 0.95
        Least two-sided coverage.

    Returns
    -------
    tuple of float, (estimate, low, high)
        The estimate is an observed value; low is -inf or high is inf where n is too small to bound it.

    Raises
    ------
    SchemaMismatch
        If there are no values.

    Notes
    -----
    Values l = F(alpha/2) and u = F(1 - alpha/2) + 1 in order of size, with F the quantile function of
    Binomial(n, q). No assumption but independence. O(n log n). The 99 % quantile needs 368 values for a high end.

    References
    ----------
    David, Nagaraja (2003), Order Statistics, section 7.1, doi 10.1002/0471722162.

    Examples
    --------
    >>> quantile_interval(np.arange(1.0, 101.0), 0.5)
    (50.0, 40.0, 61.0)
    """
    if values.size == 0:
        msg = "a quantile needs values, got none"
        raise SchemaMismatch(msg, hint="give at least one value")
    ordered = np.sort(values)
    tail = (1 - level) / 2
    lower = _binomial_quantile(tail, values.size, q)
    upper = _binomial_quantile(1 - tail, values.size, q) + 1
    estimate = float(ordered[min(values.size, int(np.ceil(q * values.size))) - 1])
    low = float(ordered[lower - 1]) if lower >= 1 else float("-inf")
    high = float(ordered[upper - 1]) if upper <= values.size else float("inf")
    return estimate, low, high


def _spread(psi: FloatArray, groups: Groups | None) -> tuple[float, int]:
    """Return the standard error and the number of clusters."""
    sums = psi
    if groups is not None:
        if groups.shape != psi.shape:
            msg = f"groups name {groups.size} rows, expected {psi.size}"
            raise SchemaMismatch(msg, hint="give one group per row")
        _, codes = np.unique(groups, return_inverse=True)
        sums = np.bincount(codes, psi).astype(np.float64)
    if sums.size < 2:
        msg = f"an interval needs at least 2 clusters, got {sums.size}"
        raise SchemaMismatch(msg, hint="give more rows")
    se = float(np.sqrt(sums.size / (sums.size - 1) * float(sums @ sums))) / psi.size
    return se, int(sums.size)


def _binomial_quantile(level: float, n: int, p: float) -> int:
    """Return the smallest k with P(K <= k) >= level for K binomial in n and p."""
    k = max(0, math.ceil(float(bdtrik(level, n, p))))
    return k - 1 if k > 0 and bdtr(k - 1, n, p) >= level else k
