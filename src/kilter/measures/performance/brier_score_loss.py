"""Brier score of stated probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.measures._kernel import (
    CLASSIFIERS,
    is_positive,
    mean,
    metric_readings,
    require_same_rows,
    truth,
)
from kilter.measures.interval import Influence

if TYPE_CHECKING:
    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "brier_score_loss", "run"]

CHECK: Final = CheckSpec(
    id="brier_score_loss",
    title="Mean squared error of the stated probabilities",
    needs=("labels", "scores"),
    tasks=CLASSIFIERS,
    direction=Direction.LOWER,
)


def brier_score_loss(labels: FloatArray, scores: FloatArray, *, scale_by_half: bool | None = None) -> float:
    """Mean squared distance between stated probability and what happened.

    In plain words: how far "70 %" was from what came, 0 or 100 %, squared; no single row can spoil it.

    Parameters
    ----------
    labels : float array of shape (n,)
        Class positions 0 .. k-1; for scores of shape (n,): 0 or 1.
    scores : float array of shape (n, k) or (n,), probabilities in [0, 1]
        Probability of each class, or of class 1.
    scale_by_half : bool or None, default None
        Halve the sum over classes, so that the score lies in [0, 1]; None halves for two classes only,
        as "auto" does in scikit-learn.

    Returns
    -------
    float in [0, 1], or [0, 2] when not halved; direction "lower"
        0 is perfect; the base rate alone gives p (1 - p) for two classes.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    (1/n) sum over rows of sum over classes (p - y)^2, halved or not. Proper and bounded. O(n k) time and memory.
    It mixes calibration with sharpness: read it beside the calibration error.

    References
    ----------
    Brier (1950), Mon. Weather Rev. 78, doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> labels = np.array([0.0, 1.0, 1.0, 0.0])
    >>> round(brier_score_loss(labels, np.array([0.1, 0.9, 0.8, 0.3])), 4)
    0.0375
    """
    require_same_rows(labels=labels, scores=scores)
    is_half = scores.ndim == 1 or scores.shape[1] == 2 if scale_by_half is None else scale_by_half
    halved = float(_halved(labels, scores).mean())
    return halved if is_half else 2 * halved


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = truth(inputs, *CLASSIFIERS)
    if isinstance(found, str):
        return found
    if inputs.signature.task is Task.BINARY:
        return mean(_halved(*is_positive(inputs.signature, *found)))
    halved = mean(_halved(*found))
    return Influence(2 * halved.estimate, 2 * halved.psi, halved.n_eff)


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's Brier score with a t interval."""
    return metric_readings(CHECK, influence(inputs))


def _halved(labels: FloatArray, scores: FloatArray) -> FloatArray:
    """Return half the squared distance of each row; for one probability, its squared distance."""
    if scores.ndim == 1:
        return np.square(scores - labels)
    happened = (np.arange(scores.shape[1]) == labels[:, None]).astype(np.float64)
    distance: FloatArray = np.square(scores - happened).sum(axis=1)
    return distance / 2
