"""Logarithmic loss of stated probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.measures._kernel import CLASSIFIERS, mean, metric_readings, require_same_rows, truth

if TYPE_CHECKING:
    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "log_loss", "run"]

CHECK: Final = CheckSpec(
    id="log_loss",
    title="Logarithmic loss of the stated probabilities",
    needs=("labels", "scores"),
    tasks=CLASSIFIERS,
    direction=Direction.LOWER,
)

_EPSILON: Final = float(np.finfo(np.float64).eps)


def log_loss(labels: FloatArray, scores: FloatArray) -> float:
    """Mean of minus the logarithm of the probability stated for what happened.

    In plain words: how surprised the model was by the truth; being sure and wrong costs most.

    Parameters
    ----------
    labels : float array of shape (n,)
        Class positions 0 .. k-1; for scores of shape (n,): 0 or 1.
    scores : float array of shape (n, k) or (n,), probabilities in [0, 1]
        Probability of each class, or of class 1.

    Returns
    -------
    float >= 0, direction "lower"
        0 is perfect; ln k is a uniform guess.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    -(1/n) sum ln p(label), p clipped to [2.2e-16, 1 - 2.2e-16] as scikit-learn does, so one row costs at most 36.
    O(n) time, 2n floats. Few rows with a stated 0 can outweigh all others: forests and trees state such zeros;
    judge them by the Brier score. Agrees with scikit-learn to 1e-10 (tests/accuracy).

    References
    ----------
    Good (1952), J. R. Stat. Soc. B 14, doi 10.1111/j.2517-6161.1952.tb00104.x.

    Examples
    --------
    >>> labels = np.array([1.0, 0.0, 1.0])
    >>> round(log_loss(labels, np.array([0.9, 0.2, 0.6])), 4)
    0.2798
    """
    require_same_rows(labels=labels, scores=scores)
    return float(_losses(labels, scores).mean())


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = truth(inputs, *CLASSIFIERS)
    return found if isinstance(found, str) else mean(_losses(*found))


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's log loss with a t interval."""
    return metric_readings(CHECK, influence(inputs))


def _losses(labels: FloatArray, scores: FloatArray) -> FloatArray:
    """Return the loss of each row."""
    table = np.column_stack((1 - scores, scores)) if scores.ndim == 1 else scores
    stated = np.take_along_axis(table, labels.astype(np.int64)[:, None], axis=1)[:, 0]
    return -np.log(np.clip(stated, _EPSILON, 1 - _EPSILON))
