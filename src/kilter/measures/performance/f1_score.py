"""Harmonic mean of precision and recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures._kernel import CLASSIFIERS, class_ratio, metric_readings, require_same_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "f1_score", "run"]

CHECK: Final = CheckSpec(
    id="f1_score",
    title="Harmonic mean of precision and recall",
    needs=("labels", "scores"),
    tasks=CLASSIFIERS,
    direction=Direction.HIGHER,
    unit_range=True,
)


def f1_score(labels: FloatArray, called: FloatArray, *, classes: int | None = None) -> float:
    """Harmonic mean of precision and recall.

    In plain words: one number for few false alarms and few missed cases; it is low if either is bad.

    Parameters
    ----------
    labels : float array of shape (n,)
        True class positions; 0 or 1 when classes is None.
    called : float array of shape (n,)
        Decided class positions, at the deployed threshold.
    classes : int >= 2 or None
        None: for class 1. A number k: plain mean over classes 0 .. k-1 ("macro").

    Returns
    -------
    float in [0, 1], direction "higher"

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty, or a class has no row to divide by.

    Notes
    -----
    2 TP / (2 TP + FP + FN). O(n k). Undefined when nothing is positive nor called.
    It ignores true negatives and depends on the base rate: do not compare it across data sets.
    With only two or three true positives expected, its 95 % interval covers about 90 %.

    References
    ----------
    van Rijsbergen (1979), Information Retrieval, chapter 7.

    Examples
    --------
    >>> labels = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    >>> called = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    >>> round(f1_score(labels, called), 4)
    0.6667
    >>> round(f1_score(labels, called, classes=2), 4)
    0.5833
    """
    require_same_rows(labels=labels, called=called)
    shares = []
    for position in (1,) if classes is None else range(classes):
        part, whole = _parts(labels == position, called == position)
        if not whole.any():
            msg = f"no row of class {position} to divide by"
            raise SchemaMismatch(msg, hint="give rows of every class")
        shares.append(part.sum() / whole.sum())
    return float(np.mean(shares))


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    return class_ratio(inputs, _parts)


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure for the positive class; for several classes their plain mean."""
    name = "f1_score" if inputs.signature.task is Task.BINARY else "f1_score[average=macro]"
    return metric_readings(CHECK, influence(inputs), metric=name)


def _parts(is_class: NDArray[np.bool_], is_called: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Return what is counted, and what it is divided by, row by row."""
    both = is_class & is_called
    return 2.0 * both.astype(np.float64), is_class.astype(np.float64) + is_called.astype(np.float64)
