"""Counts of one window in the cells of its version's reference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.signature import Task
from kilter.errors import SchemaMismatch
from kilter.measures import _binning
from kilter.measures._profile import OUTCOME_WIDTH, ReferenceProfile, WindowProfile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kilter.contracts.arrays import Array
    from kilter.measures.rows import FloatArray, TextArray

__all__ = ["empty", "labelled", "merge", "profile"]


def profile(
    columns: Mapping[str, Array],
    reference: ReferenceProfile,
    scores: FloatArray,
    decided: FloatArray,
    labels: FloatArray | None = None,
) -> WindowProfile:
    """Count the rows of a window in the reference's cells.

    In plain words: sorts a window's rows into the same boxes as the reference, and keeps only how many are in each.

    Parameters
    ----------
    columns : mapping of name to array of shape (n,)
        The input columns of the reference; others are ignored.
    reference : ReferenceProfile
        Of the version that answered.
    scores : float64 array of shape (n, classes), or (n,) or (n, 1) for regression
        Calibrated answers.
    decided : float64 array of shape (n,)
        Class positions (``measures.rows.decided``); not used for regression.
    labels : float64 array of shape (n,) or None
        Class positions or values, NaN where none is known; None: no row has one.

    Returns
    -------
    WindowProfile
        int64 counts only, so that ``merge`` is exact.

    Raises
    ------
    SchemaMismatch
        If a column of the reference is missing or the lengths differ.

    Notes
    -----
    O(n d log bins) time, O(n) extra memory. Infinite and missing numbers have their own cells. Scores are
    summed in fixed point of 2**-30, so sums are exact up to 2**33 rows.

    References
    ----------
    None; counting.

    Examples
    --------
    >>> from kilter.contracts.signature import Column, ColumnType, Signature
    >>> from kilter.measures.profile.reference import build
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))
    >>> reference = build(signature, {"a": np.arange(60.0)}, np.zeros(60), np.zeros(60), threshold=0.5, seed=0)
    >>> window = profile({"a": np.array([5.0, np.nan])}, reference, np.zeros(2), np.zeros(2))
    >>> window.rows, int(window.numeric[0][0])
    (2, 1)
    """
    values = np.asarray(scores, dtype=np.float64)
    n = values.shape[0]
    names = [*(item.name for item in reference.numeric), *(item.name for item in reference.categorical)]
    missing = [name for name in names if name not in columns]
    if missing:
        msg = f"{len(missing)} column(s) of the reference are missing, first `{missing[0]}`"
        raise SchemaMismatch(msg)
    lengths = {columns[name].shape[0] for name in names} | {decided.size, n if labels is None else labels.size}
    if lengths != {n}:
        msg = f"columns, decisions and labels must have {n} rows, as the scores have"
        raise SchemaMismatch(msg)
    score = _binning.subject_score(reference.task, reference.positive, values)
    said = _binning.subject_decision(reference.task, reference.positive, decided)
    bins = _binning.score_bins(reference.score_edges, score)
    size = reference.score_edges.size + 1
    table = np.zeros((size, 2), dtype=np.int64)
    np.add.at(table, (bins, said), 1)
    return WindowProfile(
        tag=reference.tag,
        rows=n,
        numeric=tuple(_binning.count_numeric(item.edges, _floats(columns[item.name])) for item in reference.numeric),
        categorical=tuple(
            _binning.count_text(item.levels, item.known, _texts(columns[item.name])) for item in reference.categorical
        ),
        score=table,
        score_sum=_binning.sums(bins, _binning.fixed(score), size),
        classes=_classes(reference, decided),
        outcome=_outcome(reference, (score, bins, said), decided, labels),
    )


def labelled(
    window: WindowProfile, reference: ReferenceProfile, scores: FloatArray, decided: FloatArray, labels: FloatArray
) -> WindowProfile:
    """Put the labels that have arrived into a window's profile.

    In plain words: adds what really happened to what was predicted.

    Parameters
    ----------
    window : WindowProfile
        Profile of these rows, with or without earlier labels.
    reference : ReferenceProfile
        That it was counted against.
    scores, decided, labels : float64 arrays of n rows
        As for ``profile``.

    Returns
    -------
    WindowProfile
        The same counts with ``outcome`` counted anew.

    Raises
    ------
    SchemaMismatch
        If the window was counted against another reference.

    Notes
    -----
    O(n log bins).

    References
    ----------
    None; counting.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.measures.profile.reference import build
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> reference = build(signature, {}, np.zeros(60), None, threshold=0.5, seed=0)
    >>> window = profile({}, reference, np.zeros(3), np.zeros(3))
    >>> int(labelled(window, reference, np.zeros(3), np.zeros(3), np.array([1.0, 2.0, np.nan])).outcome[:, 0].sum())
    2
    """
    if window.tag != reference.tag:
        msg = f"the window was counted against reference {window.tag}, not {reference.tag}"
        raise SchemaMismatch(msg)
    score = _binning.subject_score(reference.task, reference.positive, scores)
    bins = _binning.score_bins(reference.score_edges, score)
    said = _binning.subject_decision(reference.task, reference.positive, decided)
    return replace(window, outcome=_outcome(reference, (score, bins, said), decided, labels))


def empty(reference: ReferenceProfile) -> WindowProfile:
    """Return the profile of no rows, the identity of ``merge``.

    In plain words: all boxes empty.

    Parameters
    ----------
    reference : ReferenceProfile
        Gives the cells.

    Returns
    -------
    WindowProfile
        All counts 0.

    Raises
    ------
    Nothing
        Any reference will do.

    Notes
    -----
    O(cells).

    References
    ----------
    None; counting.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.measures.profile.reference import build
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> empty(build(signature, {}, np.zeros(60), None, threshold=0.5, seed=0)).rows
    0
    """
    size = reference.score_edges.size + 1
    return WindowProfile(
        tag=reference.tag,
        rows=0,
        numeric=tuple(np.zeros(item.counts.size, dtype=np.int64) for item in reference.numeric),
        categorical=tuple(np.zeros(item.counts.size, dtype=np.int64) for item in reference.categorical),
        score=np.zeros((size, 2), dtype=np.int64),
        score_sum=np.zeros(size, dtype=np.int64),
        classes=np.zeros(reference.class_counts.size, dtype=np.int64),
        outcome=np.zeros((size, OUTCOME_WIDTH), dtype=np.int64),
    )


def merge(a: WindowProfile, b: WindowProfile) -> WindowProfile:
    """Add two profiles that were counted in the same cells.

    In plain words: pours two windows together; nothing is lost, whatever the order.

    Parameters
    ----------
    a, b : WindowProfile
        Profiles against the same reference.

    Returns
    -------
    WindowProfile
        Exactly the profile of all rows.

    Raises
    ------
    SchemaMismatch
        If the two were counted against different references.

    Notes
    -----
    O(cells); commutative and associative, as the counts are integers.

    References
    ----------
    None; counting.

    Examples
    --------
    >>> from kilter.contracts.signature import Signature
    >>> from kilter.measures.profile.reference import build
    >>> signature = Signature(task=Task.REGRESSION, target="y", columns=())
    >>> reference = build(signature, {}, np.zeros(60), None, threshold=0.5, seed=0)
    >>> one = profile({}, reference, np.zeros(3), np.zeros(3))
    >>> merge(one, one).rows
    6
    """
    if a.tag != b.tag:
        msg = f"profiles of different references cannot be merged: {a.tag} and {b.tag}"
        raise SchemaMismatch(
            msg,
            hint="merge windows of one model version only",
        )
    return WindowProfile(
        tag=a.tag,
        rows=a.rows + b.rows,
        numeric=tuple(x + y for x, y in zip(a.numeric, b.numeric, strict=True)),
        categorical=tuple(x + y for x, y in zip(a.categorical, b.categorical, strict=True)),
        score=a.score + b.score,
        score_sum=a.score_sum + b.score_sum,
        classes=a.classes + b.classes,
        outcome=a.outcome + b.outcome,
    )


def _classes(reference: ReferenceProfile, decided: FloatArray) -> NDArray[np.int64]:
    """Count decisions by class; empty for regression."""
    size = reference.class_counts.size
    if not size:
        return np.zeros(0, dtype=np.int64)
    return np.bincount(decided.astype(np.int64), minlength=size).astype(np.int64)


def _outcome(
    reference: ReferenceProfile,
    told: tuple[FloatArray, NDArray[np.int64], NDArray[np.int64]],
    decided: FloatArray,
    labels: FloatArray | None,
) -> NDArray[np.int64]:
    """Count the labelled rows; ``told`` is score, its bin, and the decision of each row."""
    score, bins, said = told
    size = reference.score_edges.size + 1
    if labels is None:
        return np.zeros((size, OUTCOME_WIDTH), dtype=np.int64)
    known = np.isfinite(labels)
    if reference.task is Task.REGRESSION:
        return _binning.residual_counts(bins[known], (score - labels)[known], reference.loss_bound, size)
    outcome = _binning.subject_outcome(reference.task, reference.positive, decided, labels)
    return _binning.outcome_counts(bins[known], said[known], outcome[known], score[known], size)


def _floats(column: Array) -> FloatArray:
    """Narrow a column to numbers."""
    return np.asarray(column, dtype=np.float64)


def _texts(column: Array) -> TextArray:
    """Narrow a column to texts."""
    return np.asarray(column, dtype=np.object_)
