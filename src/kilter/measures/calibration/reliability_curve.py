"""Observed frequency against stated probability, bin by bin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Reading
from kilter.measures._kernel import CLASSIFIERS, require_same_rows, stated_truth
from kilter.measures.interval import wilson_interval

if TYPE_CHECKING:
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "CurvePoint", "reliability_curve", "run"]

CHECK: Final = CheckSpec(
    id="reliability_curve",
    title="Observed frequency for each stated probability",
    needs=("labels", "scores"),
    tasks=CLASSIFIERS,
    unit_range=True,
)


class CurvePoint(NamedTuple):
    """One bin: mean score, observed share with its interval, rows."""

    score: float
    share: float
    low: float
    high: float
    n: int


def reliability_curve(
    labels: FloatArray, scores: FloatArray, *, bins: int = 15, level: float = 0.95
) -> tuple[CurvePoint, ...]:
    """Observed share of positives in bins of equal mass of the score, with intervals.

    In plain words: of all cases where the model said about 70 %, how many really happened.

    Parameters
    ----------
    labels : float array of shape (n,), 0 or 1
        What happened.
    scores : float array of shape (n,), probabilities in [0, 1]
        What was stated.
    bins : int >= 1, default 15
        Number of bins of equal mass; equal edges are merged, so ties may leave fewer.
    level : float in (0, 1), default 0.95
        Coverage of each point's Wilson interval, taken alone.

    Returns
    -------
    tuple of CurvePoint
        In order of score; a calibrated model lies on score = share.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    O(n log n). Of 15 points of a perfect model about one misses the diagonal at 95 %: judge the calibration error,
    not single points.

    References
    ----------
    Murphy, Winkler (1977), J. R. Stat. Soc. C 26, doi 10.2307/2346866.

    Examples
    --------
    >>> points = reliability_curve(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.2, 0.3, 0.7, 0.8]), bins=2)
    >>> [(round(point.score, 2), point.share, point.n) for point in points]
    [(0.25, 0.5, 2), (0.75, 1.0, 2)]
    """
    require_same_rows(labels=labels, scores=scores)
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    codes = np.searchsorted(edges, scores, side="right")
    points = []
    for code in np.unique(codes):
        inside = codes == code
        n, hits = int(inside.sum()), float(labels[inside].sum())
        low, high = wilson_interval(hits, n, level=level)
        points.append(CurvePoint(float(scores[inside].mean()), hits / n, low, high, n))
    return tuple(points)


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure one reading per bin: subject ``bin:01`` and on, ``extra["score"]`` the mean score in it."""
    found = stated_truth(inputs)
    if isinstance(found, str):
        return (Reading(metric=CHECK.id, not_evaluated=found),)
    return tuple(
        Reading(
            metric=CHECK.id,
            subject=f"bin:{position:02d}",
            estimate=point.share,
            low=point.low,
            high=point.high,
            interval_method="wilson",
            n=point.n,
            extra={"score": point.score},
        )
        for position, point in enumerate(reliability_curve(*found), start=1)
    )
