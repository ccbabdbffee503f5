"""Bounded loss of each row, for comparisons that look again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.signature import Signature, Task
from kilter.errors import SchemaMismatch
from kilter.measures._kernel import is_positive, require_same_rows

if TYPE_CHECKING:
    from kilter.measures.rows import FloatArray

__all__ = ["row_loss"]


def row_loss(signature: Signature, labels: FloatArray, scores: FloatArray, *, scale: float = 1.0) -> FloatArray:
    """Loss of each row in [0, 1]: Brier form for classes, clipped absolute error for numbers.

    In plain words: how wrong each single answer was, from 0 (right and sure) to 1 (wrong and sure).

    Parameters
    ----------
    signature : Signature
        Task, classes and positive class.
    labels : float array of shape (n,)
        Class positions, or values for regression; NaN where there is no label.
    scores : float array of shape (n, classes), or (n,) or (n, 1) for regression
        Calibrated probabilities, or predictions.
    scale : float > 0, default 1.0
        Regression only: the error that counts as 1, in the target's unit.

    Returns
    -------
    float array of shape (n,), values in [0, 1] or NaN, direction "lower"
        NaN exactly where the label or a score is NaN.

    Raises
    ------
    SchemaMismatch
        If the arrays differ in length or are empty, or the scale is not positive.

    Notes
    -----
    Binary (p - y)^2, several classes half of sum (p - y)^2, regression min(abs(error) / scale, 1). O(n k).
    Bounded, so that sequential tests hold without assumptions on tails. Clipping hides how large the largest
    errors are: choose a scale that few errors exceed.

    References
    ----------
    Brier (1950), Mon. Weather Rev. 78, doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> signature = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes")
    >>> row_loss(signature, np.array([1.0, 0.0, np.nan]), np.array([[0.1, 0.9], [0.5, 0.5], [0.2, 0.8]])).round(2)
    array([0.01, 0.25,  nan])
    """
    require_same_rows(labels=labels, scores=scores)
    if not scale > 0:
        msg = f"the scale of the error is a positive number, got {scale}"
        raise SchemaMismatch(msg, hint="give a scale above 0")
    unknown = np.isnan(labels)
    if signature.task is Task.REGRESSION:
        return np.minimum(np.abs(labels - scores.reshape(-1)) / scale, 1.0)
    if signature.task is Task.BINARY:
        happened, stated = is_positive(signature, labels, scores)
        loss = np.square(stated - happened)
    else:
        loss = np.square(scores - (np.arange(scores.shape[1]) == labels[:, None])).sum(axis=1) / 2
    return np.where(unknown, np.nan, np.minimum(loss, 1.0))
