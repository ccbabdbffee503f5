"""Which measures speak of labelled rows, by task; the groups of the score that calibration is watched in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.measures._kernel import stated_truth
from kilter.measures.performance import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    mean_bias_error,
    roc_auc_score,
)

if TYPE_CHECKING:
    from kilter.contracts.check import CheckInputs
    from kilter.measures.rows import FloatArray

GROUPS = 10
CALIBRATION = "calibration_error"


def readings(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the labelled rows with the same checks that the gates use."""
    if inputs.signature.task is Task.REGRESSION:
        return (*mean_absolute_error.run(inputs), *mean_bias_error.run(inputs))
    return (
        *accuracy_score.run(inputs),
        *roc_auc_score.run(inputs),
        *brier_score_loss.run(inputs),
        *log_loss.run(inputs),
        calibration_reading(inputs),
    )


def calibration_reading(inputs: CheckInputs) -> Reading:
    """Measure the mean gap of ten score groups, less what chance alone gives; cheap enough for every window."""
    found = stated_truth(inputs)
    if isinstance(found, str):
        return Reading(metric=CALIBRATION, direction=Direction.LOWER, not_evaluated=found)
    outcome, score = found
    n, total, squares = (values[:-1] for values in by_group(group_edges(score), score, outcome - score))
    n, total, squares = n[n > 0], total[n > 0], squares[n > 0]
    mean, weight = total / n, n / n.sum()
    spread = np.sqrt(np.maximum(squares / n - mean * mean, 0.0) / n)
    chance = float(weight @ spread) * math.sqrt(2 / math.pi)
    value = max(0.0, float(weight @ np.abs(mean)) - chance)
    half = 1.96 * float(np.sqrt((weight * spread) @ (weight * spread)))
    return Reading(
        metric=CALIBRATION,
        estimate=value,
        low=max(0.0, value - half),
        high=min(1.0, value + half),
        interval_method="normal",
        n=outcome.size,
        direction=Direction.LOWER,
        extra={"groups": int(n.size)},
    )


def group_edges(score: FloatArray) -> FloatArray:
    """Cut the score into ten groups of equal mass; ties may leave fewer."""
    return np.unique(np.quantile(score, np.linspace(0, 1, GROUPS + 1)[1:-1]))


def by_group(edges: FloatArray, score: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return count, sum and sum of squares of values per group, overall last."""
    groups = np.searchsorted(edges, score, side="right")
    size = edges.size + 1
    n = np.bincount(groups, minlength=size).astype(np.float64)
    total = np.bincount(groups, values, minlength=size)
    squares = np.bincount(groups, values * values, minlength=size)
    return np.append(n, n.sum()), np.append(total, total.sum()), np.append(squares, squares.sum())


def conceded_gaps(edges: FloatArray, score: FloatArray, gap: FloatArray) -> FloatArray:
    """Return the lower bounds of +gap and -gap per group, not below 0: what the reference shows beyond doubt."""
    n, total, squares = by_group(edges, score, gap)
    rows = np.maximum(n, 1.0)
    mean = total / rows
    se = np.sqrt(np.maximum(squares / rows - mean * mean, 0.0) / rows)
    return np.maximum(np.stack([mean, -mean]) - 1.96 * se, 0.0)
