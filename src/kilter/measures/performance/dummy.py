"""The best answer that looks at no column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.signature import Signature, Task
from kilter.errors import SchemaMismatch

if TYPE_CHECKING:
    from kilter.measures.rows import FloatArray

__all__ = ["dummy_scores"]


def dummy_scores(signature: Signature, labels: FloatArray, *, metric: str = "") -> FloatArray:
    """Scores of the best constant answer to these very labels.

    In plain words: what you would score by always giving the same answer; a model has to beat that.

    Parameters
    ----------
    signature : Signature
        Task and classes.
    labels : float array of shape (n,)
        Class positions, or values for regression; NaN where there is no label.
    metric : str, default ""
        ``mean_absolute_error`` is best served by the median; every other by the mean.

    Returns
    -------
    float array of shape (n, classes), the share of each class; or (n,), the mean or median

    Raises
    ------
    SchemaMismatch
        If no row has a label.

    Notes
    -----
    O(n k). Chosen in hindsight on the judged rows, so it is a shade harder to beat than a dummy fitted elsewhere;
    its own error is of second order and is left out of paired intervals.

    References
    ----------
    None; the intercept-only model.

    Examples
    --------
    >>> signature = Signature(task=Task.BINARY, target="y", columns=(), classes=("no", "yes"), positive="yes")
    >>> dummy_scores(signature, np.array([0.0, 1.0, 0.0, 0.0]))[0]
    array([0.75, 0.25])
    """
    known = labels[~np.isnan(labels)]
    if known.size == 0:
        msg = "no row has a label, so there is no best constant answer"
        raise SchemaMismatch(msg, hint="give labelled rows")
    if signature.task is Task.REGRESSION:
        constant = np.median(known) if metric == "mean_absolute_error" else known.mean()
        return np.full(labels.size, constant, dtype=np.float64)
    counts = np.bincount(known.astype(np.int64), minlength=len(signature.classes))
    return np.tile(counts / known.size, (labels.size, 1))
