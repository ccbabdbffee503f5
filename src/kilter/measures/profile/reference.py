"""What a version looks like on held-out rows: the ground that every later window is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.check import CheckInputs
from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures import _binning, _realised
from kilter.measures._profile import ReferenceMetric, ReferenceProfile, structure_tag
from kilter.measures.interval import mean_interval
from kilter.measures.isotonic import isotonic
from kilter.measures.performance.loss import row_loss
from kilter.measures.rows import batch_of, columns_of, decided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kilter.contracts.arrays import Array
    from kilter.contracts.signature import Signature
    from kilter.measures.rows import FloatArray

__all__ = ["build"]

_LEAST_ROWS = 50
_LEAST_LABELS = 50
_FOLDS = 5


def build(
    signature: Signature,
    columns: Mapping[str, Array],
    scores: Array,
    labels: Array | None,
    *,
    threshold: float = 0.5,
    seed: int = 0,
) -> ReferenceProfile:
    """Profile held-out rows that a version has scored.

    In plain words: remembers how the data, the answers and the mistakes looked when the model was accepted.

    Parameters
    ----------
    signature : Signature
        Columns, task and classes.
    columns : mapping of name to array of shape (n,)
        Held-out rows, never those of the training: their scores are too sharp.
    scores : float64 array of shape (n, classes), or (n,) for regression
        Calibrated answers of this version.
    labels : float64 array of shape (n,) or None
        Class positions or values, NaN where unknown.
    threshold : float in [0, 1], default 0.5
        Turns a binary score into a decision.
    seed : int, default 0
        Of the five folds that decide whether the calibrator is used.

    Returns
    -------
    ReferenceProfile
        Bins, counts, calibrator, reference metrics with bounds. ``is_small`` below 500 rows.

    Raises
    ------
    SchemaMismatch
        If there are fewer than 50 rows, or columns, scores and labels do not fit one another.

    Notes
    -----
    O(n d log n) time. Bins: every value if there are at most 256, else values of share >= 1/512 and quantiles. The
    calibrator is the isotonic regression of the outcome on the score bins if its five-fold Brier score beats the raw
    score, else the identity. Without 50 labels there are no metrics and no bounds.

    References
    ----------
    Barlow, Brunk (1972), JASA 67, doi 10.1080/01621459.1972.10481216.

    Examples
    --------
    >>> from kilter.contracts.signature import Column, ColumnType, Signature
    >>> signature = Signature(
    ...     task=Task.BINARY,
    ...     target="y",
    ...     classes=("no", "yes"),
    ...     positive="yes",
    ...     columns=(Column(name="a", type=ColumnType.FLOAT),),
    ... )
    >>> chance = np.linspace(0.01, 0.99, 100)
    >>> labels = (np.arange(100) * 37 % 100 < 100 * chance).astype(float)
    >>> reference = build(
    ...     signature, {"a": chance}, np.column_stack([1 - chance, chance]), labels, threshold=0.5, seed=0
    ... )
    >>> reference.rows, reference.is_small, sorted(reference.metrics)[0]
    (100, True, 'accuracy_score')
    """
    values = np.asarray(scores, dtype=np.float64)
    rows = values.shape[0]
    if rows < _LEAST_ROWS:
        msg = f"a reference profile needs at least {_LEAST_ROWS} rows, got {rows}"
        raise SchemaMismatch(
            msg,
            hint="give more held-out rows under `[data] reference`",
        )
    named = columns_of(signature, batch_of(signature, columns))
    truth = np.full(rows, np.nan) if labels is None else np.asarray(labels, dtype=np.float64)
    if truth.size != rows or any(column.shape[0] != rows for column in named.values()):
        msg = f"columns and labels must have {rows} rows, as the scores have"
        raise SchemaMismatch(msg)
    numeric = tuple(_binning.numeric_map(name, np.asarray(named[name])) for name in signature.numeric_names)
    categorical = tuple(_binning.categorical_map(name, np.asarray(named[name])) for name in signature.text_names)
    task, positive = signature.task, signature.positive_index
    called = decided(signature, values, threshold)
    score = _binning.subject_score(task, positive, values)
    edges = _binning.score_edges(task, score)
    bins = _binning.score_bins(edges, score)
    said = _binning.subject_decision(task, positive, called)
    counts = np.zeros((edges.size + 1, 2), dtype=np.int64)
    np.add.at(counts, (bins, said), 1)
    known = np.isfinite(truth)
    outcome = _binning.subject_outcome(task, positive, called, truth)
    groups = _realised.group_edges(score)
    bound = _loss_bound(task, np.abs(score - outcome)[known])
    gaps = _realised.conceded_gaps(groups, score[known], (outcome - score)[known])
    return ReferenceProfile(
        task=task,
        tag=structure_tag(task, numeric, categorical, edges),
        rows=rows,
        labelled=int(known.sum()),
        numeric=numeric,
        categorical=categorical,
        score_edges=edges,
        score_counts=counts,
        class_counts=np.bincount(called.astype(np.int64), minlength=len(signature.classes)).astype(np.int64)
        if signature.classes
        else np.zeros(0, dtype=np.int64),
        calibrator=_calibrator(task, edges, score[known], outcome[known], seed),
        group_edges=groups,
        group_gaps=gaps,
        positive=positive,
        loss_bound=bound,
        metrics=_metrics(signature, values[known], truth[known], threshold=threshold, bound=bound, seed=seed),
    )


def _loss_bound(task: Task, errors: FloatArray) -> float:
    """Return the size of error that counts as 1: twice the 99.9 % quantile for regression."""
    if task is not Task.REGRESSION or errors.size == 0:
        return 1.0
    return 2 * float(np.quantile(errors, 0.999)) or 1.0


def _metrics(
    signature: Signature, scores: FloatArray, labels: FloatArray, *, threshold: float, bound: float, seed: int
) -> dict[str, ReferenceMetric]:
    """Measure the labelled rows, with 95 % intervals; ``loss`` is the mean row loss in [0, 1]."""
    n = labels.size
    if n < _LEAST_LABELS:
        return {}
    inputs = CheckInputs(signature=signature, threshold=threshold, labels=labels, scores=scores, seed=seed)
    found = {
        reading.metric: ReferenceMetric(value=reading.estimate, low=reading.low, high=reading.high, n=reading.n)
        for reading in _realised.readings(inputs)
        if reading.estimate is not None and reading.low is not None and reading.high is not None
    }
    loss = row_loss(signature, labels, scores, scale=bound)
    low, high = mean_interval(float(loss.mean()), loss - loss.mean())
    return {**found, "loss": ReferenceMetric(value=float(loss.mean()), low=low, high=high, n=n)}


def _calibrator(task: Task, edges: FloatArray, score: FloatArray, outcome: FloatArray, seed: int) -> FloatArray:
    """Return the frequency of the outcome by score bin: isotonic if that helps, else the bin's middle."""
    if task is Task.REGRESSION:
        return np.zeros(edges.size + 1)
    ends = np.concatenate([[0.0], edges, [1.0]])
    middle: FloatArray = (ends[:-1] + ends[1:]) / 2
    n = score.size
    if n < _LEAST_LABELS:
        return middle
    folds = np.random.default_rng(seed).permutation(n) % _FOLDS
    bins = _binning.score_bins(edges, score)
    fitted = np.empty(n)
    for fold in range(_FOLDS):
        out = folds == fold
        fitted[out] = _isotonic(middle, bins[~out], outcome[~out])[bins[out]]
    is_better = float(np.mean((fitted - outcome) ** 2)) < float(np.mean((score - outcome) ** 2))
    return _isotonic(middle, bins, outcome) if is_better else middle


def _isotonic(middle: FloatArray, bins: NDArray[np.int64], outcome: FloatArray) -> FloatArray:
    """Fit outcome on bins, never falling; bins without rows lie between their neighbours."""
    n = np.bincount(bins, minlength=middle.size)
    total = np.bincount(bins, outcome, minlength=middle.size)
    seen = n > 0
    fit: FloatArray = isotonic(total[seen] / n[seen], n[seen].astype(np.float64))
    return np.interp(middle, middle[seen], fit)
