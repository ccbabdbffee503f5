"""Share of the variance that is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures._kernel import metric_readings, require_same_rows, truth
from kilter.measures.interval import Influence

if TYPE_CHECKING:
    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "r2_score", "run"]

CHECK: Final = CheckSpec(
    id="r2_score",
    title="Share of the variance that is explained",
    needs=("labels", "scores"),
    tasks=(Task.REGRESSION,),
    direction=Direction.HIGHER,
)


def r2_score(labels: FloatArray, predictions: FloatArray) -> float:
    """Share of the labels' variance that the predictions explain.

    In plain words: 0 is as good as always saying the mean, 1 is perfect; it can be below 0.

    Parameters
    ----------
    labels : float array of shape (n,)
        What happened, in the target's unit.
    predictions : float array of shape (n,)
        What was predicted, in the target's unit.

    Returns
    -------
    float <= 1, direction "higher"

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty, or all labels are equal.

    Notes
    -----
    1 - sum (label - prediction)^2 / sum (label - mean)^2; influence by the delta method on both sums. O(n).
    Depends on the spread of the labels in this very table: do not compare it across data sets.

    References
    ----------
    Kvalseth (1985), Am. Stat. 39, doi 10.1080/00031305.1985.10479448.

    Examples
    --------
    >>> labels = np.array([3.0, -0.5, 2.0, 7.0])
    >>> round(r2_score(labels, np.array([2.5, 0.0, 2.0, 8.0])), 4)
    0.9486
    """
    require_same_rows(labels=labels, predictions=predictions)
    if np.ptp(labels) == 0:
        msg = "all labels are equal: there is no variance to explain"
        raise SchemaMismatch(msg, hint="give labels that vary")
    return _explained(labels, predictions).estimate


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = truth(inputs, Task.REGRESSION)
    if isinstance(found, str):
        return found
    return "constant: all labels are equal" if np.ptp(found[0]) == 0 else _explained(*found)


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's error with a t interval."""
    return metric_readings(CHECK, influence(inputs))


def _explained(labels: FloatArray, predictions: FloatArray) -> Influence:
    """Return the coefficient of determination with the influence of each row."""
    squares, spread = np.square(labels - predictions), np.square(labels - labels.mean())
    lost, whole = float(squares.mean()), float(spread.mean())
    psi = -(squares - lost) / whole + lost / whole**2 * (spread - whole)
    return Influence(1 - lost / whole, psi, labels.size)
