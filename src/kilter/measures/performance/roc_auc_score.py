"""Area under the receiver operating characteristic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import CheckInputs, CheckSpec
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures._kernel import (
    CLASSIFIERS,
    absent_class,
    average,
    is_positive,
    metric_readings,
    require_same_rows,
    truth,
)
from kilter.measures.interval import Influence

if TYPE_CHECKING:
    from kilter.measures._kernel import Found
    from kilter.measures.rows import FloatArray

__all__ = ["CHECK", "roc_auc_score", "run"]

CHECK: Final = CheckSpec(
    id="roc_auc_score",
    title="How often a positive is ranked above a negative",
    needs=("labels", "scores"),
    tasks=CLASSIFIERS,
    direction=Direction.HIGHER,
    unit_range=True,
)


def roc_auc_score(labels: FloatArray, scores: FloatArray) -> float:
    """Probability that a random positive scores above a random negative; ties count half.

    In plain words: of all pairs of a yes and a no, the share in which the model ranks the yes higher.

    Parameters
    ----------
    labels : float array of shape (n,)
        0 or 1; for scores of shape (n, k): class positions 0 .. k-1.
    scores : float array of shape (n,) or (n, k)
        Any score that grows with the chance of class 1; or one per class (one against the rest, plain mean).

    Returns
    -------
    float in [0, 1], direction "higher"
        0.5 is a blind ranking.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty, or a class has no row.

    Notes
    -----
    Mann-Whitney statistic by midranks; influence values are the placements, which give DeLong's variance.
    O(n log n) time, 4n floats; one class against the rest k times. It sees ranks only: a model may keep its
    area and lose its calibration. Agrees with scikit-learn to 1e-10, ties included (tests/accuracy).

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44, doi 10.2307/2531595.
    Sun, Xu (2014), IEEE Signal Process. Lett. 21, doi 10.1109/LSP.2014.2337313.

    Examples
    --------
    >>> roc_auc_score(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    require_same_rows(labels=labels, scores=scores)
    columns = scores[:, None] if scores.ndim == 1 else scores
    hits = [labels == 1] if scores.ndim == 1 else [labels == k for k in range(columns.shape[1])]
    if not all(hit.any() and not hit.all() for hit in hits):
        msg = "the area under the curve needs rows of every class"
        raise SchemaMismatch(msg, hint="give more rows")
    return average([_area(hit.astype(np.float64), columns[:, k]) for k, hit in enumerate(hits)]).estimate


def influence(inputs: CheckInputs) -> Found:
    """Return the estimate with the influence of each labelled row, or why there is none."""
    found = truth(inputs, *CLASSIFIERS)
    if isinstance(found, str):
        return found
    labels, scores = found
    absent = absent_class(inputs.signature, labels)
    if absent:
        return absent
    if inputs.signature.task is Task.BINARY:
        return _area(*is_positive(inputs.signature, labels, scores))
    return average([_area((labels == k).astype(np.float64), scores[:, k]) for k in range(scores.shape[1])])


def run(inputs: CheckInputs) -> tuple[Reading, ...]:
    """Measure the model's area under the curve with DeLong's spread on the logit scale."""
    is_binary = inputs.signature.task is Task.BINARY
    return metric_readings(
        CHECK, influence(inputs), metric="roc_auc_score" if is_binary else "roc_auc_score[multi_class=ovr]"
    )


def _area(labels: FloatArray, scores: FloatArray) -> Influence:
    """Return the area for 0/1 labels with the placement of each row; both classes have rows."""
    positive = labels == 1
    m, k = int(positive.sum()), int((~positive).sum())
    ranks = _midranks(scores)
    placement = np.empty(scores.size)
    placement[positive] = (ranks[positive] - _midranks(scores[positive])) / k
    placement[~positive] = 1 - (ranks[~positive] - _midranks(scores[~positive])) / m
    area = float(placement[positive].mean())
    psi = (placement - area) * np.where(positive, scores.size / m, scores.size / k)
    return Influence(area, psi, min(m, k))


def _midranks(values: FloatArray) -> FloatArray:
    """Return ranks from 1, with ties at their mean rank."""
    _, position, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(count) - (count - 1) / 2)[position]
    return ranks
