"""Slope of the truth on the stated log-odds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtri

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures._kernel import binary_truth, require_same_rows

if TYPE_CHECKING:
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "SlopeFit", "calibration_slope", "run"]

CHECK: Final = CheckSpec(
    id="calibration_slope",
    title="Whether stated chances are too extreme or too timid",
    needs=("labels", "scores"),
    tasks=(Task.BINARY,),
    direction=Direction.TARGET,
)

_CLIP: Final = 1e-6
_STEPS: Final = 50
_NARROWEST: Final = 1e-6


class SlopeFit(NamedTuple):
    """Slope of the logistic fit, and the intercept with the slope held at 1; with standard errors."""

    slope: float
    slope_se: float
    intercept: float
    intercept_se: float


def calibration_slope(labels: FloatArray, scores: FloatArray) -> SlopeFit:
    """Logistic regression of what happened on the log-odds of what was stated.

    In plain words: below 1 the model is too sure of itself, above 1 too timid; the intercept says whether its
    chances are too low (above 0) or too high overall.

    Parameters
    ----------
    labels : float array of shape (n,), 0 or 1
        What happened; both values occur.
    scores : float array of shape (n,), probabilities in [0, 1]
        What was stated; clipped to [1e-6, 1 - 1e-6].

    Returns
    -------
    SlopeFit, direction "target"
        A calibrated model has slope 1 and intercept 0.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty, one class is absent, the scores are all equal, or they
        separate the classes fully (no finite slope fits).

    Notes
    -----
    Newton's method from (0, 1), halved steps where the likelihood falls; standard errors from the inverse
    information. O(n) a step, about 6 steps. The intercept is fitted apart, with the slope held at 1 (calibration
    in the large). A slope of 1 does not exclude a curve: look at the reliability curve too.

    References
    ----------
    Cox (1958), Biometrika 45, doi 10.1093/biomet/45.3-4.562. Van Calster et al. (2019), BMC Med. 17,
    doi 10.1186/s12916-019-1466-7.

    Examples
    --------
    >>> scores = np.repeat([0.2, 0.4, 0.6, 0.8], 10)
    >>> labels = np.concatenate([np.arange(10) < hits for hits in (3, 4, 6, 7)]).astype(float)
    >>> fit = calibration_slope(labels, scores)
    >>> round(fit.slope, 3), round(fit.slope_se, 3), abs(round(fit.intercept, 3))
    (0.647, 0.339, 0.0)
    """
    require_same_rows(labels=labels, scores=scores)
    odds = logit(np.clip(scores, _CLIP, 1 - _CLIP))
    reason = _unfit(labels, odds)
    if reason:
        msg = f"no calibration slope: {reason}"
        raise SchemaMismatch(msg, hint="give more rows")
    slope, slope_se = _newton(np.column_stack((np.ones(odds.size), odds)), labels, np.zeros(odds.size), (0.0, 1.0))
    intercept, intercept_se = _newton(np.ones((odds.size, 1)), labels, odds, (0.0,))
    return SlopeFit(slope, slope_se, intercept, intercept_se)


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure slope and intercept with normal intervals."""
    names = ("calibration_slope", "calibration_intercept")
    found = binary_truth(inputs)
    reason = found if isinstance(found, str) else ""
    if not isinstance(found, str):
        labels, scores = found
        reason = _unfit(labels, logit(np.clip(scores, _CLIP, 1 - _CLIP)))
        if not reason:
            return _readings(names, calibration_slope(labels, scores), labels.size)
    return tuple(Reading(metric=name, direction=Direction.TARGET, not_evaluated=reason) for name in names)


def _readings(names: tuple[str, str], fit: SlopeFit, n: int) -> tuple[Reading, ...]:
    """Make the two readings of a fit."""
    z = float(ndtri(0.975))
    pairs = ((fit.slope, fit.slope_se), (fit.intercept, fit.intercept_se))
    return tuple(
        Reading(
            metric=name,
            estimate=estimate,
            low=estimate - z * se,
            high=estimate + z * se,
            interval_method="normal",
            n=n,
            direction=Direction.TARGET,
        )
        for name, (estimate, se) in zip(names, pairs, strict=True)
    )


def _unfit(labels: FloatArray, odds: FloatArray) -> str:
    """Say why no finite slope fits; empty if one does."""
    positive = labels == 1
    if not positive.any() or positive.all():
        return "one_class: all labels are equal"
    if np.ptp(odds) < _NARROWEST:
        return "constant: all scores are equal"
    above = odds[positive].min() >= odds[~positive].max()
    below = odds[positive].max() <= odds[~positive].min()
    return "constant: the scores separate the classes fully" if above or below else ""


def _newton(
    design: FloatArray, labels: FloatArray, offset: FloatArray, start: tuple[float, ...]
) -> tuple[float, float]:
    """Fit a logistic regression; return the last coefficient with its standard error."""
    beta, step, steps = np.array(start), np.array(np.inf), 0
    while np.abs(step).max() > 1e-10 and steps < _STEPS:
        fitted = expit(design @ beta + offset)
        information = (design * (fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(information, design.T @ (labels - fitted))
        while _likelihood(design @ (beta + step) + offset, labels) < _likelihood(design @ beta + offset, labels) - 1e-9:
            step = step / 2
        beta = beta + step
        steps += 1
    fitted = expit(design @ beta + offset)
    information = (design * (fitted * (1 - fitted))[:, None]).T @ design
    return float(beta[-1]), float(np.sqrt(np.linalg.inv(information)[-1, -1]))


def _likelihood(linear: FloatArray, labels: FloatArray) -> float:
    """Return the log-likelihood of 0/1 labels."""
    return float((labels * linear - np.logaddexp(0, linear)).sum())
