"""Beta calibration of binary scores: a strictly increasing map fitted on labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.calibration import CalibrationMap
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from kilter.contracts.arrays import Array
    from kilter.measures.rows import FloatArray

__all__ = ["apply", "apply_scores", "fit"]

_EDGE = 1e-6
_SLOPES = (0.05, 10.0)
_OFFSET = 10.0
_ROUNDS = 50


def fit(raw: Array, labels: Array, *, l2: float = 1.0) -> CalibrationMap:
    """Calibration map that makes stated probabilities agree with what happened.

    In plain words: learns by how much the model over- or understates its chances, and corrects it
    without changing which row ranks above which.

    Parameters
    ----------
    raw : float array of shape (n,), probabilities in [0, 1]
        The model's own probability of the positive class, before any map.
    labels : float array of shape (n,), 0 or 1
        What happened.
    l2 : float >= 0, default 1.0
        Ridge toward the identity, in units of labels: few labels move little.

    Returns
    -------
    CalibrationMap
        a and b in [0.05, 10], c in [-10, 10].

    Raises
    ------
    SchemaMismatch
        If the arrays are empty, differ in length, or hold other values.

    Notes
    -----
    Minimises sum of log losses of sigmoid(a ln p - b ln(1 - p) + c) plus l2 / 2 ((a - 1)^2 + (b - 1)^2
    + c^2) by projected Newton steps; convex, so the start does not matter. Platt scaling (a = b) is
    taken unless the third parameter pays on held-back rows (even rows against odd ones, both ways).
    O(n) per round, at most 50 rounds. p is clipped to [1e-6, 1 - 1e-6]. Not for multiclass scores.

    References
    ----------
    Kull, Silva Filho, Flach (2017), AISTATS, PMLR 54:623-631. Platt (1999).

    Examples
    --------
    >>> raw = np.tile([0.2, 0.8], 500)
    >>> labels = np.concatenate([np.tile([0.0, 1.0], 200), np.tile([1.0, 1.0], 150), np.tile([0.0, 0.0], 150)])
    >>> apply(fit(raw, labels), raw[:2]).round(2)
    array([0.3, 0.7])
    """
    scores, truth = _checked(raw, labels)
    design = np.stack([np.log(scores), -np.log1p(-scores), np.ones_like(scores)], axis=1)
    platt = np.stack([design[:, 0] + design[:, 1], design[:, 2]], axis=1)
    if _held_back(design, truth, l2) < _held_back(platt, truth, l2):
        a, b, c = _minimise(design, truth, l2)
    else:
        a, c = _minimise(platt, truth, l2)
        b = a
    return CalibrationMap(a=float(a), b=float(b), c=float(c), n=int(scores.size))


def apply(calibration: CalibrationMap, raw: Array) -> FloatArray:
    """Calibrated probabilities.

    In plain words: the corrected chances.

    Parameters
    ----------
    calibration : CalibrationMap
        The map.
    raw : float array of shape (n,), probabilities in [0, 1]
        Before the map.

    Returns
    -------
    float array of shape (n,), in (0, 1)
        After the map; the order of rows is kept.

    Raises
    ------
    Nothing

    Notes
    -----
    sigmoid(a ln p - b ln(1 - p) + c) with p clipped to [1e-6, 1 - 1e-6]; the identity map returns a
    copy unchanged. NaN stays NaN. O(n).

    References
    ----------
    Kull, Silva Filho, Flach (2017), AISTATS, PMLR 54:623-631.

    Examples
    --------
    >>> apply(CalibrationMap(a=2.0, b=2.0, c=0.0, n=9), np.array([0.2, 0.5])).round(3)
    array([0.059, 0.5  ])
    """
    values = np.array(raw, dtype=np.float64)
    if _is_identity(calibration):
        return values
    p = np.clip(values, _EDGE, 1.0 - _EDGE)
    return _sigmoid(calibration.a * np.log(p) - calibration.b * np.log1p(-p) + calibration.c)


def apply_scores(calibration: CalibrationMap, probabilities: Array, positive_index: int) -> FloatArray:
    """Calibrated class probabilities of a binary model.

    In plain words: the corrected chances of both answers.

    Parameters
    ----------
    calibration : CalibrationMap
        The map of the positive class's probability.
    probabilities : float array of shape (n, 2)
        Before the map, in the order of the signature's classes.
    positive_index : int, 0 or 1
        Column of the positive class.

    Returns
    -------
    float array of shape (n, 2)
        After the map; each row sums to 1.

    Raises
    ------
    IndexError
        If there are no two columns.

    Notes
    -----
    As ``apply``. A single row takes scalar arithmetic (about 1 us), since this stands on the path of
    every prediction.

    References
    ----------
    Kull, Silva Filho, Flach (2017), AISTATS, PMLR 54:623-631.

    Examples
    --------
    >>> apply_scores(CalibrationMap(a=2.0, b=2.0, c=0.0, n=9), np.array([[0.8, 0.2]]), 1).round(3)
    array([[0.941, 0.059]])
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if _is_identity(calibration):
        return values.copy()
    if values.shape[0] == 1:
        score = _calibrated(calibration, float(values[0, positive_index]))
        return np.array([[1.0 - score, score] if positive_index else [score, 1.0 - score]])
    scores = apply(calibration, values[:, positive_index])
    out = np.empty_like(values)
    out[:, positive_index] = scores
    out[:, 1 - positive_index] = 1.0 - scores
    return out


def _is_identity(calibration: CalibrationMap) -> bool:
    """Say whether the map changes nothing."""
    return calibration.a == 1.0 and calibration.b == 1.0 and calibration.c == 0.0


def _calibrated(calibration: CalibrationMap, score: float) -> float:
    """Map one probability."""
    p = min(max(score, _EDGE), 1.0 - _EDGE)
    z = calibration.a * math.log(p) - calibration.b * math.log1p(-p) + calibration.c
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0.0 else math.exp(z) / (1.0 + math.exp(z))


def _sigmoid(z: FloatArray) -> FloatArray:
    """Logistic function without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, small) / (1.0 + small)


def _checked(raw: Array, labels: Array) -> tuple[FloatArray, FloatArray]:
    """Refuse what cannot be fitted; clip the scores."""
    scores = np.asarray(raw, dtype=np.float64).reshape(-1)
    truth = np.asarray(labels, dtype=np.float64).reshape(-1)
    if scores.size == 0 or scores.size != truth.size:
        message = f"calibration needs as many labels as scores and at least one, got {truth.size} labels"
        raise SchemaMismatch(message)
    if not bool(np.all((scores >= 0.0) & (scores <= 1.0) & ((truth == 0.0) | (truth == 1.0)))):
        message = "calibration needs scores in [0, 1] and labels 0 or 1, got others or NaN"
        raise SchemaMismatch(message)
    return np.clip(scores, _EDGE, 1.0 - _EDGE), truth


def _loss(design: FloatArray, truth: FloatArray, theta: FloatArray) -> float:
    """Sum of log losses."""
    z = design @ theta
    return float((np.logaddexp(0.0, z) - truth * z).sum())


def _minimise(design: FloatArray, truth: FloatArray, l2: float) -> FloatArray:
    """Newton steps inside the box, from the identity."""
    k = design.shape[1]
    identity = np.array([1.0] * (k - 1) + [0.0])
    low = np.array([_SLOPES[0]] * (k - 1) + [-_OFFSET])
    high = np.array([_SLOPES[1]] * (k - 1) + [_OFFSET])
    theta = identity.copy()
    value, gain, rounds = _loss(design, truth, theta), 1.0, 0
    while gain > 1e-10 * (1.0 + abs(value)) and rounds < _ROUNDS:
        p = _sigmoid(design @ theta)
        slope = design.T @ (p - truth) + l2 * (theta - identity)
        is_free = ~(((theta <= low) & (slope > 0.0)) | ((theta >= high) & (slope < 0.0)))
        curve = (design.T * (p * (1.0 - p))) @ design + (l2 + 1e-9) * np.eye(k)
        move = np.zeros(k)
        move[is_free] = np.linalg.solve(curve[np.ix_(is_free, is_free)], slope[is_free])
        steps = (np.clip(theta - move * 0.5**halving, low, high) for halving in range(30))
        tried = ((_loss(design, truth, x) + 0.5 * l2 * float(((x - identity) ** 2).sum()), x) for x in steps)
        lower, theta = next(((loss, x) for loss, x in tried if loss <= value), (value, theta))
        value, gain, rounds = lower, value - lower, rounds + 1
    return theta


def _held_back(design: FloatArray, truth: FloatArray, l2: float) -> float:
    """Log loss on the half of the rows that was not fitted, both ways."""
    loss = 0.0
    for start in (0, 1):
        theta = _minimise(design[start::2], truth[start::2], l2)
        loss += _loss(design[1 - start :: 2], truth[1 - start :: 2], theta)
    return loss
