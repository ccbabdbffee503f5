"""The records of profiles: counts of a reference, and counts of a window in the reference's bins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kilter.contracts.signature import Task
from kilter.measures.rows import FloatArray

__all__ = ["CategoricalMap", "NumericMap", "ReferenceMetric", "ReferenceProfile", "WindowProfile", "structure_tag"]

SMALL_ROWS = 500
"""Below this a reference is kept, with wide bounds, and said to be small."""

OUTCOME_WIDTH = 8
"""Columns of ``outcome``: rows by decision and truth (4), score sums by truth (2), squared score sums (2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericMap:
    """Bins of one numeric column: cells 0 missing, 1 -inf, 2 +inf, 3 below the first edge, then one per edge.

    ``counts`` int64 (len(edges) + 4,) are the reference's. The last cell is above the reference's maximum.
    """

    name: str
    edges: FloatArray
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalMap:
    """Cells of one text column: one per listed level, then rare (seen, not listed), new (never seen), missing.

    ``known`` holds 64-bit hashes of every level seen, sorted; ``once`` counts the levels seen only once,
    which tell how often a new one is to be expected.
    """

    name: str
    levels: tuple[str, ...]
    known: NDArray[np.uint64]
    counts: NDArray[np.int64]
    once: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceMetric:
    """A metric's value on the reference with its 95 % interval from n labelled rows."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceProfile:
    """What one version looked like on held-out rows; immutable, belongs to the version.

    The *score* of a row is the probability of the positive class (binary), of the top class
    (multiclass) or the prediction (regression); its *outcome* is whether that class was the truth.
    ``score_counts`` int64 (bins, 2) counts rows by decision; ``calibrator`` float64 (bins,) is the
    frequency of the outcome by score bin; ``group_edges`` cut the score into groups of equal mass;
    ``group_gaps`` float64 (2, groups + 1) is the part of outcome minus score (and its reverse) that
    the reference itself shows beyond doubt, per group and overall (last).
    """

    task: Task
    tag: str
    rows: int
    labelled: int
    numeric: tuple[NumericMap, ...]
    categorical: tuple[CategoricalMap, ...]
    score_edges: FloatArray
    score_counts: NDArray[np.int64]
    class_counts: NDArray[np.int64]
    calibrator: FloatArray
    group_edges: FloatArray
    group_gaps: FloatArray
    positive: int = 0
    loss_bound: float = 1.0
    metrics: dict[str, ReferenceMetric] = field(default_factory=dict)

    @property
    def is_small(self) -> bool:
        """Say whether bounds are wide because the reference has few rows."""
        return self.rows < SMALL_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowProfile:
    """Counts of one window in the cells of a reference; adding two gives the profile of both.

    ``score`` int64 (bins, 2) counts rows by score bin and decision, ``score_sum`` int64 (bins,) sums
    the scores in fixed point, ``outcome`` int64 (bins, 8) holds the labelled rows.
    """

    tag: str
    rows: int
    numeric: tuple[NDArray[np.int64], ...]
    categorical: tuple[NDArray[np.int64], ...]
    score: NDArray[np.int64]
    score_sum: NDArray[np.int64]
    classes: NDArray[np.int64]
    outcome: NDArray[np.int64]


def structure_tag(
    task: Task, numeric: tuple[NumericMap, ...], categorical: tuple[CategoricalMap, ...], score_edges: FloatArray
) -> str:
    """Return 16 hexadecimal digits that change with any cell of the maps."""
    digest = hashlib.sha256(task.encode())
    for column in numeric:
        digest.update(column.name.encode() + b"\0" + column.edges.astype("<f8").tobytes())
    for text in categorical:
        digest.update("\0".join((text.name, *text.levels)).encode() + text.known.astype("<u8").tobytes())
    digest.update(score_edges.astype("<f8").tobytes())
    return digest.hexdigest()[:16]
