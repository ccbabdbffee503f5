"""Performance estimated without labels, from how often each score came true in the reference (CBPE)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.reading import Direction, Reading
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray

__all__ = ["accuracy", "roc_auc"]

_RESAMPLES = 200


def accuracy(counts: NDArray[np.int64], calibrator: FloatArray, *, reference_rows: int) -> Reading:
    """Accuracy that is to be expected of these scores if calibration still holds.

    In plain words: a guess at how many answers are right, before the truth is known.

    Parameters
    ----------
    counts : int64 array of shape (bins, 2)
        Rows by score bin, said no / said yes (multiclass: all said yes).
    calibrator : float array of shape (bins,), in [0, 1]
        Frequency of the outcome by score bin.
    reference_rows : int >= 1
        Labelled rows that the calibrator was fitted on.

    Returns
    -------
    Reading, direction "higher"
        In [0, 1], subject ``estimate``; not evaluated without rows.

    Raises
    ------
    SchemaMismatch
        If there is not one calibrator value per bin.

    Notes
    -----
    sum n[b,1] g_b + n[b,0] (1 - g_b) over n. Interval: normal, with the variance of the window's outcomes and of the
    reference's. Blind to a change of the relation between score and truth: it assumes that calibration still
    holds, so it never clears an alarm. O(bins).

    References
    ----------
    NannyML (2022), confidence-based performance estimation. Bialek et al. (2024), arXiv 2401.08348.

    Examples
    --------
    >>> reading = accuracy(np.array([[80, 0], [0, 20]]), np.array([0.1, 0.9]), reference_rows=1000)
    >>> round(reading.estimate or 0, 6), reading.subject
    (0.9, 'estimate')
    """
    if counts.shape != (calibrator.size, 2):
        msg = f"counts of shape {counts.shape} do not fit {calibrator.size} score bins"
        raise SchemaMismatch(msg)
    n = int(counts.sum())
    if n == 0:
        return _none("accuracy_score", "no_data: the window has no rows")
    g = calibrator
    value = float(counts[:, 1] @ g + counts[:, 0] @ (1 - g)) / n
    variance = float(counts.sum(axis=1) @ (g * (1 - g))) / n**2 + value * (1 - value) / reference_rows
    half = 1.96 * math.sqrt(variance)
    return _reading("accuracy_score", value, value - half, value + half, n=n, method="normal")


def roc_auc(counts: NDArray[np.int64], calibrator: FloatArray, *, reference_rows: int, seed: int = 0) -> Reading:
    """Ranking quality that is to be expected of these scores if calibration still holds.

    In plain words: a guess at how well yes and no are told apart, before the truth is known.

    Parameters
    ----------
    counts : int64 array of shape (bins,)
        Rows by score bin, in rising order of the score.
    calibrator : float array of shape (bins,), in [0, 1]
        Frequency of the positive class by score bin.
    reference_rows : int >= 1
        Labelled rows that the calibrator was fitted on.
    seed : int, default 0
        Of 200 resamples of the outcomes.

    Returns
    -------
    Reading, direction "higher"
        In [0, 1], subject ``estimate``; not evaluated without rows or if one class has no weight.

    Raises
    ------
    SchemaMismatch
        If there is not one calibrator value per bin.

    Notes
    -----
    sum w+_b (W-_{<b} + w-_b / 2) / (W+ W-), w+ = n_b g_b, w- = n_b (1 - g_b). Interval from resampled outcomes, widened
    by the reference's share. Assumes that calibration still holds. O(200 bins).

    References
    ----------
    NannyML (2022), confidence-based performance estimation. Bialek et al. (2024), arXiv 2401.08348.

    Examples
    --------
    >>> round(roc_auc(np.array([50, 50]), np.array([0.1, 0.9]), reference_rows=1000).estimate or 0, 6)
    0.9
    """
    if counts.shape != calibrator.shape:
        msg = f"counts of shape {counts.shape} do not fit {calibrator.size} score bins"
        raise SchemaMismatch(msg)
    n = int(counts.sum())
    if n == 0:
        return _none("roc_auc_score", "no_data: the window has no rows")
    positives = counts * calibrator
    value = float(_area(positives[None, :], (counts - positives)[None, :])[0])
    if math.isnan(value):
        return _none("roc_auc_score", "one_class: the scores leave no room for a second class")
    drawn = np.random.default_rng(seed).binomial(counts, np.clip(calibrator, 0, 1), size=(_RESAMPLES, counts.size))
    areas = _area(drawn.astype(np.float64), (counts - drawn).astype(np.float64))
    spread = float(np.nanstd(areas)) if np.isfinite(areas).any() else 0.0
    half = 1.96 * spread * math.sqrt(1 + n / reference_rows)
    return _reading("roc_auc_score", value, value - half, value + half, n=n, method="resampled")


def _area(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """Return the area under the curve of each row of weights; NaN where a class is absent."""
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        area: FloatArray = (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
    return area


def _reading(metric: str, value: float, low: float, high: float, *, n: int, method: str) -> Reading:
    """Return an estimate within [0, 1]."""
    return Reading(
        metric=metric,
        subject="estimate",
        estimate=min(max(value, 0.0), 1.0),
        low=max(low, 0.0),
        high=min(high, 1.0),
        interval_method=method,
        n=n,
        direction=Direction.HIGHER,
    )


def _none(metric: str, reason: str) -> Reading:
    """Return the reading of nothing, with its reason."""
    return Reading(metric=metric, subject="estimate", direction=Direction.HIGHER, not_evaluated=reason)
