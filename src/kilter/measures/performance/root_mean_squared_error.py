"""Typical size of the error, large ones counting more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.measures._kernel import metric_readings, require_same_rows, truth
from kilter.measures.interval import Influence

if TYPE_CHECKING:
    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "root_mean_squared_error", "run"]

CHECK: Final = CheckSpec(
    id="root_mean_squared_error",
    title="Typical size of the error, large ones counting more",
    needs=("labels", "scores"),
    tasks=(Task.REGRESSION,),
    direction=Direction.LOWER,
)


def root_mean_squared_error(labels: FloatArray, predictions: FloatArray) -> float:
    """Square root of the mean squared error.

    In plain words: the typical error, where one large miss weighs more than many small ones.

    Parameters
    ----------
    labels : float array of shape (n,)
        What happened, in the target's unit.
    predictions : float array of shape (n,)
        What was predicted, in the target's unit.

    Returns
    -------
    float >= 0, in the target's unit, direction "lower"

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    sqrt((1/n) sum (label - prediction)^2); influence (e^2 - mse) / (2 rmse). O(n).
    The best constant answer is the mean. Heavy tails make it unstable: read the mean absolute error beside it.

    References
    ----------
    Chai, Draxler (2014), Geosci. Model Dev. 7, doi 10.5194/gmd-7-1247-2014.

    Examples
    --------
    >>> labels = np.array([3.0, -0.5, 2.0, 7.0])
    >>> round(root_mean_squared_error(labels, np.array([2.5, 0.0, 2.0, 8.0])), 4)
    0.6124
    """
    require_same_rows(labels=labels, predictions=predictions)
    return float(np.sqrt(np.mean(np.square(labels - predictions))))


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = truth(inputs, Task.REGRESSION)
    if isinstance(found, str):
        return found
    squares = np.square(found[0] - found[1])
    estimate = float(np.sqrt(squares.mean()))
    psi = (squares - squares.mean()) / (2 * estimate) if estimate > 0 else np.zeros(squares.size)
    return Influence(estimate, psi, squares.size)


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's error with a t interval."""
    return metric_readings(CHECK, influence(inputs))
