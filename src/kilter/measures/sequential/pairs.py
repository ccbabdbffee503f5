"""Evidence from pairs: is the candidate worse than the control, and is it surely not worse.

Every function returns a new process; the running products continue over steps and restarts, so
looking after every pair costs nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.rollout import HarmProcess
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.arrays import Array

__all__ = ["add_events", "add_pairs", "confidence_bounds", "log_harm", "log_inferiority", "start_process"]

_BETS = 8
_STAKE = 0.9
_WORSE = (0.55, 0.60, 0.67, 0.75, 0.90)
_NOT_WORSE = (0.5, 0.4, 0.33, 0.25, 0.1)
_RHO_SQUARED = 0.01


def start_process(metric: str) -> HarmProcess:
    """Evidence of one metric before any pair was seen.

    In plain words: an empty pair of scales.

    Parameters
    ----------
    metric : str
        Name of the metric, for display.

    Returns
    -------
    HarmProcess
        No bets, n = 0.

    Raises
    ------
    Nothing

    Notes
    -----
    The number of bets is fixed by the first call of ``add_pairs`` or ``add_events``; do not mix the
    two on one process.

    References
    ----------
    Ramdas, Grünwald, Vovk, Shafer (2023), Statistical Science 38(4), 10.1214/23-STS894.

    Examples
    --------
    >>> start_process("loss").n
    0
    """
    return HarmProcess(metric=metric)


def add_pairs(process: HarmProcess, differences: Array, *, harm: float, inferior: float) -> HarmProcess:
    """Evidence after further paired differences of a bounded loss.

    In plain words: bets against "the new model does no harm" and against "the new model is worse",
    and keeps the winnings.

    Parameters
    ----------
    process : HarmProcess
        Evidence so far.
    differences : float array of shape (n,), each in [-1, 1]
        Loss of the candidate minus loss of its partner in the control arm; losses lie in [0, 1].
    harm : float in [0, 1]
        The candidate does harm if the mean difference is above this.
    inferior : float in (harm, 1]
        The candidate is inferior if the mean difference is at least this.

    Returns
    -------
    HarmProcess
        Logs of eight products against each null; n, sum and sum of squares of the differences.

    Raises
    ------
    SchemaMismatch
        If a difference is NaN or outside [-1, 1], or the margins are not 0 <= harm < inferior <= 1.

    Notes
    -----
    Harm, H0: E[D | past] <= m: E_j = prod (1 + lam_j (D - m)), lam_j = (0.9 / (1 + m)) 2^-j, j = 0..7.
    Inferiority, H0: E[D | past] >= m': the same with m' - D. Each factor is at least 0.1, so no
    product dies. The mean over j is an e-process: P(it ever reaches 1 / alpha) <= alpha under the
    null, at any stopping time. O(8 n) time. Not for unbounded losses: clip or scale them first.

    References
    ----------
    Waudby-Smith, Ramdas (2024), JRSS-B 86(1), 10.1093/jrsssb/qkad009. Ville (1939).

    Examples
    --------
    >>> process = add_pairs(start_process("loss"), np.full(60, 0.4), harm=0.0, inferior=0.02)
    >>> round(log_harm(process), 2), process.n
    (16.37, 60)
    """
    values = np.asarray(differences, dtype=np.float64)
    if not 0.0 <= harm < inferior <= 1.0:
        message = f"margins must be 0 <= harm < inferior <= 1, got {harm} and {inferior}"
        raise SchemaMismatch(message)
    if not bool(np.all(np.abs(values) <= 1.0)):
        message = "paired differences must lie in [-1, 1], got a value outside or NaN"
        raise SchemaMismatch(message)
    halves = 0.5 ** np.arange(_BETS)
    worse = np.log1p(np.outer(_STAKE / (1.0 + harm) * halves, values - harm)).sum(axis=1)
    better = np.log1p(np.outer(_STAKE / (1.0 + inferior) * halves, inferior - values)).sum(axis=1)
    return HarmProcess(
        metric=process.metric,
        harm=_plus(process.harm, worse.tolist()),
        inferiority=_plus(process.inferiority, better.tolist()),
        n=process.n + values.size,
        sum=process.sum + float(values.sum()),
        sum_squares=process.sum_squares + float(values @ values),
    )


def add_events(
    process: HarmProcess,
    *,
    plus: int,
    minus: int,
    pairs: int,
    harm_ratio: float,
    inferior_ratio: float,
    inferior_difference: float,
) -> HarmProcess:
    """Evidence after further pairs of rare bad events.

    In plain words: of the requests that went wrong, did more than a fair share hit the new model.

    Parameters
    ----------
    process : HarmProcess
        Evidence so far.
    plus, minus : int >= 0
        New events in the candidate's and in the control's arm.
    pairs : int >= 0
        New pairs of requests, one in each arm.
    harm_ratio : float >= 1
        The candidate does harm if it has more than this many events for one of the control.
    inferior_ratio : float > harm_ratio
        The candidate is inferior if the ratio is at least this ...
    inferior_difference : float in (0, 1]
        ... and the difference of the two shares is at least this.

    Returns
    -------
    HarmProcess
        Five products against harm; five (ratio) and eight (difference) against inferiority.

    Raises
    ------
    SchemaMismatch
        If a count is negative, or the ratios are not 1 <= harm_ratio < inferior_ratio <= 9.

    Notes
    -----
    With arms of equal size an event falls on the candidate with probability theta = rho / (1 + rho).
    Harm, H0: rho <= rho0: products of (t / theta0)^plus ((1 - t) / (1 - theta0))^minus over the t in
    {.55, .60, .67, .75, .90} above theta0. Inferiority is an intersection null, so the mean of an
    e-process against the ratio and one against the difference is used; with no event in either arm
    the latter grows with the number of pairs alone. O(1) time. Ville's bound holds at any time.

    References
    ----------
    Grünwald, de Heide, Koolen (2024), JRSS-B 86(5), 10.1093/jrsssb/qkae011.

    Examples
    --------
    >>> process = add_events(
    ...     start_process("error"),
    ...     plus=12,
    ...     minus=1,
    ...     pairs=500,
    ...     harm_ratio=1.1,
    ...     inferior_ratio=1.5,
    ...     inferior_difference=0.005,
    ... )
    >>> round(log_harm(process), 2), round(log_inferiority(process), 2)
    (3.68, -1.4)
    """
    if min(plus, minus, pairs) < 0:
        message = f"counts must not be negative, got plus={plus}, minus={minus}, pairs={pairs}"
        raise SchemaMismatch(message)
    if not 1.0 <= harm_ratio < inferior_ratio <= 9.0:
        message = f"ratios must be 1 <= harm < inferior <= 9, got {harm_ratio} and {inferior_ratio}"
        raise SchemaMismatch(message)
    worse = _ratio_bets(_WORSE, harm_ratio / (1.0 + harm_ratio), plus, minus)
    not_worse = _ratio_bets(_NOT_WORSE, inferior_ratio / (1.0 + inferior_ratio), plus, minus)
    zeros = max(0, pairs - plus - minus)
    difference = [
        _difference_bet(_STAKE / (1.0 + inferior_difference) * 0.5**j, inferior_difference, (plus, minus, zeros))
        for j in range(_BETS)
    ]
    return HarmProcess(
        metric=process.metric,
        harm=_plus(process.harm, worse),
        inferiority=_plus(process.inferiority, [*not_worse, *difference]),
        n=process.n + pairs,
        sum=process.sum + plus - minus,
        sum_squares=process.sum_squares + plus + minus,
    )


def log_harm(process: HarmProcess) -> float:
    """Log of the evidence that the candidate does harm.

    In plain words: how much a bettor against the new model would have won.

    Parameters
    ----------
    process : HarmProcess
        Evidence so far.

    Returns
    -------
    float, direction "lower"
        0 without data; log 20 = 3.0 refutes "no harm" at .05.

    Raises
    ------
    Nothing

    Notes
    -----
    log of the mean of the products, by log-sum-exp; O(1).

    References
    ----------
    Waudby-Smith, Ramdas (2024), JRSS-B 86(1), 10.1093/jrsssb/qkad009.

    Examples
    --------
    >>> log_harm(start_process("loss"))
    0.0
    """
    return _log_mean(process.harm, (1.0,) * len(process.harm))


def log_inferiority(process: HarmProcess) -> float:
    """Log of the evidence that the candidate is not inferior.

    In plain words: how surely the new model is at least about as good.

    Parameters
    ----------
    process : HarmProcess
        Evidence so far.

    Returns
    -------
    float, direction "higher"
        0 without data; log 20 = 3.0 refutes "inferior" at .05.

    Raises
    ------
    Nothing

    Notes
    -----
    As ``log_harm``; for events the ratio's and the difference's bets have half the weight each.

    References
    ----------
    Waudby-Smith, Ramdas (2024), JRSS-B 86(1), 10.1093/jrsssb/qkad009.

    Examples
    --------
    >>> process = add_pairs(start_process("loss"), np.full(300, -0.1), harm=0.0, inferior=0.02)
    >>> log_inferiority(process) > math.log(20)
    True
    """
    k = len(process.inferiority)
    ratio = len(_NOT_WORSE)
    is_mixed = k == ratio + _BETS
    weights = (1.0 / ratio,) * ratio + (1.0 / _BETS,) * _BETS if is_mixed else (1.0,) * k
    return _log_mean(process.inferiority, weights)


def confidence_bounds(process: HarmProcess, *, alpha: float = 0.05) -> tuple[float, float]:
    """Bounds of the mean difference that hold at every look, for display.

    In plain words: how much worse or better the new model is, give or take.

    Parameters
    ----------
    process : HarmProcess
        Evidence so far.
    alpha : float in (0, 1), default 0.05
        Probability that the bounds ever leave the mean outside.

    Returns
    -------
    tuple of two floats in [-1, 1], direction "lower"
        (-1, 1) below two pairs.

    Raises
    ------
    Nothing

    Notes
    -----
    Asymptotic confidence sequence (normal mixture with rho^2 = 0.01 pairs): mean +- sqrt(2 (v + 1) /
    (n rho)^2 log(sqrt(v + 1) / alpha)), v = n s^2 rho^2. O(1). For display only: verdicts use the
    e-processes, which need no asymptotics.

    References
    ----------
    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Annals of Statistics 52(6), 10.1214/24-AOS2408.

    Examples
    --------
    >>> process = add_pairs(start_process("loss"), np.tile([0.1, 0.3], 200), harm=0.0, inferior=0.02)
    >>> low, high = confidence_bounds(process)
    >>> round(low, 2), round(high, 2)
    (0.14, 0.26)
    """
    n = process.n
    if n < 2:
        return -1.0, 1.0
    mean = process.sum / n
    variance = max(process.sum_squares / n - mean * mean, 1.0 / n)
    v = n * variance * _RHO_SQUARED
    half = math.sqrt(2.0 * (v + 1.0) / (n * n * _RHO_SQUARED) * math.log(math.sqrt(v + 1.0) / alpha))
    return max(-1.0, mean - half), min(1.0, mean + half)


def _plus(old: tuple[float, ...], new: Sequence[float]) -> tuple[float, ...]:
    """Add logs bet by bet; no bets yet are zeros."""
    return tuple(a + b for a, b in zip(old or (0.0,) * len(new), new, strict=True))


def _ratio_bets(grid: tuple[float, ...], theta: float, plus: int, minus: int) -> list[float]:
    """Log-products of the alternatives on the far side of the null's theta; on the near side nothing is bet."""
    is_up = grid is _WORSE
    return [
        plus * math.log(t / theta) + minus * math.log((1.0 - t) / (1.0 - theta)) if (t > theta) == is_up else 0.0
        for t in grid
    ]


def _difference_bet(stake: float, margin: float, counts: tuple[int, int, int]) -> float:
    """Log-product of one bet on a mean difference below the margin, from counts of +1, -1 and 0."""
    plus, minus, zeros = counts
    return (
        plus * math.log1p(stake * (margin - 1.0))
        + minus * math.log1p(stake * (margin + 1.0))
        + zeros * math.log1p(stake * margin)
    )


def _log_mean(logs: tuple[float, ...], weights: tuple[float, ...]) -> float:
    """Log of the weighted mean of exp(logs)."""
    if not logs:
        return 0.0
    top = max(logs)
    total = sum(weight * math.exp(log - top) for log, weight in zip(logs, weights, strict=True))
    return top + math.log(total / sum(weights))
