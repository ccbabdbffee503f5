"""Share of right decisions, every class counting the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.measures._kernel import (
    CLASSIFIERS,
    absent_class,
    average,
    decisions,
    metric_readings,
    ratio,
    require_same_rows,
)

if TYPE_CHECKING:
    from kilter.measures._kernel import Found
    from kilter.measures.interval import Influence
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "balanced_accuracy_score", "run"]

CHECK: Final = CheckSpec(
    id="balanced_accuracy_score",
    title="Share of right decisions, every class counting the same",
    needs=("labels", "scores"),
    tasks=CLASSIFIERS,
    direction=Direction.HIGHER,
    unit_range=True,
)


def balanced_accuracy_score(labels: FloatArray, called: FloatArray) -> float:
    """Mean over the classes of the share of their rows that were found.

    In plain words: how many of 100 answers are right if every class came equally often.

    Parameters
    ----------
    labels : float array of shape (n,)
        True class positions.
    called : float array of shape (n,)
        Decided class positions, at the deployed threshold.

    Returns
    -------
    float in [0, 1], direction "higher"
        1/k is a blind guess among k classes.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty.

    Notes
    -----
    (1/k) sum over the classes present of mean(called == class given label == class). O(n k). Rare classes make it
    noisy: its interval rests on the smallest class.

    References
    ----------
    Brodersen, Ong, Stephan, Buhmann (2010), ICPR, doi 10.1109/ICPR.2010.764.

    Examples
    --------
    >>> balanced_accuracy_score(np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, 0.0]))
    0.5
    """
    require_same_rows(labels=labels, called=called)
    return _found(labels, called).estimate


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = decisions(inputs)
    if isinstance(found, str):
        return found
    return absent_class(inputs.signature, found[0]) or _found(*found)


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's balanced accuracy at its deployed threshold."""
    return metric_readings(CHECK, influence(inputs))


def _found(labels: FloatArray, called: FloatArray) -> Influence:
    """Return the mean recall of the classes present."""
    shares = []
    for position in np.unique(labels):
        of_class = (labels == position).astype(np.float64)
        shares.append(ratio(of_class * (called == position), of_class))
    return average(shares)
