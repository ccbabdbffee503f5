"""Share of right decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.measures._kernel import CLASSIFIERS, decisions, mean, metric_readings, require_same_rows

if TYPE_CHECKING:
    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "accuracy_score", "run"]

CHECK: Final = CheckSpec(
    id="accuracy_score",
    title="Share of right decisions",
    needs=("labels", "scores"),
    tasks=CLASSIFIERS,
    direction=Direction.HIGHER,
    unit_range=True,
)


def accuracy_score(labels: FloatArray, called: FloatArray) -> float:
    """Share of rows whose decided class is the true one.

    In plain words: how many of 100 answers are right.

    Parameters
    ----------
    labels : float array of shape (n,)
        True class positions.
    called : float array of shape (n,)
        Decided class positions, at the deployed threshold.

    Returns
    -------
    float in [0, 1], direction "higher"

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    mean(labels == called). O(n). The most frequent class alone reaches its own share: do not use it for rare classes.

    References
    ----------
    Sokolova, Lapalme (2009), Inf. Process. Manag. 45, doi 10.1016/j.ipm.2009.03.002.

    Examples
    --------
    >>> accuracy_score(np.array([0.0, 1.0, 2.0, 1.0]), np.array([0.0, 2.0, 2.0, 1.0]))
    0.75
    """
    require_same_rows(labels=labels, called=called)
    return float(np.mean(labels == called))


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = decisions(inputs)
    return found if isinstance(found, str) else mean((found[0] == found[1]).astype(np.float64))


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's accuracy at its deployed threshold."""
    return metric_readings(CHECK, influence(inputs))
