"""Mean of prediction minus truth."""

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

__all__ = ["CHECK", "mean_bias_error", "run"]

CHECK: Final = CheckSpec(
    id="mean_bias_error",
    title="Mean of prediction minus truth",
    needs=("labels", "scores"),
    tasks=(Task.REGRESSION,),
    direction=Direction.TARGET,
)


def mean_bias_error(labels: FloatArray, predictions: FloatArray) -> float:
    """Mean of prediction minus what happened.

    In plain words: whether predictions are too high (above 0) or too low on average.

    Parameters
    ----------
    labels : float array of shape (n,)
        What happened, in the target's unit.
    predictions : float array of shape (n,)
        What was predicted, in the target's unit.

    Returns
    -------
    float, in the target's unit, direction "target"
        0 is perfect.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    (1/n) sum (prediction - label). O(n). No scikit-learn function; hand-computed in the tests.
    Errors cancel: 0 does not mean that single predictions are good.

    References
    ----------
    Willmott (1982), Bull. Am. Meteorol. Soc. 63, doi 10.1175/1520-0477(1982)063<1309:SCOTEO>2.0.CO;2.

    Examples
    --------
    >>> labels = np.array([3.0, -0.5, 2.0, 7.0])
    >>> round(mean_bias_error(labels, np.array([2.5, 0.0, 2.0, 8.0])), 4)
    0.25
    """
    require_same_rows(labels=labels, predictions=predictions)
    return float(np.mean(predictions - labels))


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = truth(inputs, Task.REGRESSION)
    return found if isinstance(found, str) else mean(found[1] - found[0])


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's error with a t interval."""
    return metric_readings(CHECK, influence(inputs))
