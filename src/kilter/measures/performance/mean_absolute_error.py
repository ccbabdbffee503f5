"""Mean size of the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.measures._kernel import mean, metric_readings, require_same_rows, truth

if TYPE_CHECKING:
    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "mean_absolute_error", "run"]

CHECK: Final = CheckSpec(
    id="mean_absolute_error",
    title="Mean size of the error",
    needs=("labels", "scores"),
    tasks=(Task.REGRESSION,),
    direction=Direction.LOWER,
)


def mean_absolute_error(labels: FloatArray, predictions: FloatArray) -> float:
    """Mean distance between prediction and what happened.

    In plain words: by how much a prediction is off, on average.

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
    (1/n) sum abs(label - prediction). O(n).
    The best constant answer is the median; compare with that.

    References
    ----------
    Willmott, Matsuura (2005), Clim. Res. 30, doi 10.3354/cr030079.

    Examples
    --------
    >>> labels = np.array([3.0, -0.5, 2.0, 7.0])
    >>> round(mean_absolute_error(labels, np.array([2.5, 0.0, 2.0, 8.0])), 4)
    0.5
    """
    require_same_rows(labels=labels, predictions=predictions)
    return float(np.abs(labels - predictions).mean())


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = truth(inputs, Task.REGRESSION)
    return found if isinstance(found, str) else mean(np.abs(found[0] - found[1]))


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's error with a t interval."""
    return metric_readings(CHECK, influence(inputs))
