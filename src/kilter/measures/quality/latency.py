"""How long one prediction takes."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.measures.interval import quantile_interval

if TYPE_CHECKING:
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "latency_ms", "run"]

CHECK: Final = CheckSpec(
    id="latency_ms",
    title="Time of a single prediction through the loaded model",
    needs=("durations",),
    direction=Direction.LOWER,
)

_QUANTILES: Final = {"latency_p50_ms": 0.5, "latency_p99_ms": 0.99}


def latency_ms(durations_ms: FloatArray, q: float) -> tuple[float, float, float]:
    """Quantile of call times with its interval.

    In plain words: how long a call takes at most, for half of the calls, or for 99 of 100.

    Parameters
    ----------
    durations_ms : float array of shape (calls,), milliseconds
        Times of single-row calls after a warm-up.
    q : float in (0, 1)
        Which quantile.

    Returns
    -------
    tuple of float, (estimate, low, high), milliseconds, direction "lower"
        Low is at least 0; high is inf where the calls are too few to bound the quantile (368 for the 99 %).

    Raises
    ------
    SchemaMismatch
        If there are no calls.

    Notes
    -----
    Binomial order statistics; no assumption on the shape of the tail, but calls are taken as independent, which
    bursts of other load break. O(calls log calls). Compare only times of one machine.

    References
    ----------
    David, Nagaraja (2003), Order Statistics, section 7.1, doi 10.1002/0471722162.

    Examples
    --------
    >>> latency_ms(np.arange(1.0, 401.0) / 100, 0.99)
    (3.96, 3.92, 4.0)
    """
    estimate, low, high = quantile_interval(durations_ms, q)
    return estimate, max(0.0, low), high


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the median and the 99 % quantile of single-row calls."""
    if inputs.durations_ms is None or inputs.durations_ms.shape[0] == 0:
        reason = "no_model: no call was timed"
        return tuple(Reading(metric=name, direction=CHECK.direction, not_evaluated=reason) for name in _QUANTILES)
    durations = np.asarray(inputs.durations_ms, dtype=np.float64)
    return tuple(_reading(name, q, durations) for name, q in _QUANTILES.items())


def _reading(metric: str, q: float, durations: FloatArray) -> Reading:
    """Make the reading of one quantile, if the calls can bound it."""
    estimate, low, high = latency_ms(durations, q)
    if not isfinite(high):
        reason = f"too_few_rows: {durations.size} calls cannot bound the {100 * q:g} % quantile"
        return Reading(metric=metric, direction=CHECK.direction, not_evaluated=reason)
    return Reading(
        metric=metric,
        estimate=estimate,
        low=low,
        high=high,
        interval_method="order",
        n=durations.size,
        direction=CHECK.direction,
        extra={"unit": "ms"},
    )
