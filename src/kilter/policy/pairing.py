"""Units of a comparison: which logged rows count, and what each lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.signature import Signature, Task
from kilter.measures.performance.loss import row_loss
from kilter.measures.rows import label_indexes

if TYPE_CHECKING:
    from kilter.contracts.log import JoinedRows
    from kilter.measures.rows import FloatArray

__all__ = ["Comparison", "Span", "Standing", "arm_losses", "compare", "losses", "scale_of", "shadow_losses"]

_HOUR_NS = 3_600_000_000_000
_NORMAL_95 = 1.96
_FEWEST = 30


class Standing(StrEnum):
    """How a challenger did against the champion on the same rows."""

    BETTER = "better"
    NON_INFERIOR = "non_inferior"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Labels that arrived in [since, until) count; ``scale`` is the error that counts as 1."""

    since_ns: int
    until_ns: int
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Paired difference challenger minus champion with its 95 % interval."""

    standing: Standing
    n: int
    difference: float
    low: float
    high: float


def losses(signature: Signature, rows: JoinedRows, scale: float) -> FloatArray:
    """Return the loss of each row; NaN without a known label."""
    labels = label_indexes(signature, rows.labels)
    return row_loss(signature, labels, np.asarray(rows.scores, dtype=np.float64), scale=scale) if rows.n else labels


def arm_losses(signature: Signature, rows: JoinedRows, arm: str, span: Span) -> tuple[float, ...]:
    """Return losses of one arm's units whose labels arrived in [since, until), in order of id.

    A unit is the first row of a key in an hour: repeats of a key depend on one another.
    """
    if rows.n == 0:
        return ()
    keys = np.asarray(rows.key).astype(np.uint64)
    hours = (np.asarray(rows.ts_ns) // _HOUR_NS).astype(np.uint64)
    is_arm = np.asarray(rows.arm) == arm
    _, first = np.unique(np.stack([keys, hours, is_arm.astype(np.uint64)]), axis=1, return_index=True)
    is_unit = np.zeros(rows.n, dtype=np.bool_)
    is_unit[first] = True
    lost = losses(signature, rows, span.scale)
    arrived = np.asarray(rows.label_ns)
    is_new = (arrived >= span.since_ns) & (arrived < span.until_ns) & (arrived > 0) & ~np.isnan(lost)
    chosen = np.flatnonzero(is_arm & is_unit & is_new)
    ids = np.asarray(rows.ids)[chosen].tolist()
    return tuple(float(lost[chosen[place]]) for place in sorted(range(chosen.size), key=ids.__getitem__))


def shadow_losses(
    signature: Signature, shadows: JoinedRows, answers: JoinedRows, span: Span
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the losses of shadow and served answer to the same requests, labelled in [since, until)."""
    if shadows.n == 0 or answers.n == 0:
        return (), ()
    served = losses(signature, answers, span.scale)
    shadowed = losses(signature, shadows, span.scale)
    arrived = np.asarray(answers.label_ns).tolist()
    places = {name: place for place, name in enumerate(np.asarray(answers.ids).tolist())}
    pairs = sorted((str(parent), place) for place, parent in enumerate(np.asarray(shadows.parent_ids).tolist()))
    found = [
        (float(shadowed[place]), float(served[places[parent]]))
        for parent, place in pairs
        if parent in places and span.since_ns <= arrived[places[parent]] < span.until_ns and arrived[places[parent]] > 0
    ]
    known = [(a, b) for a, b in found if not (math.isnan(a) or math.isnan(b))]
    return tuple(a for a, _ in known), tuple(b for _, b in known)


def scale_of(signature: Signature, rows: JoinedRows) -> float:
    """Return the error that counts as 1: for regression the spread of the middle 90 % of labels."""
    if signature.task is not Task.REGRESSION or rows.n == 0:
        return 1.0
    values = label_indexes(signature, rows.labels)
    values = values[~np.isnan(values)]
    if values.size == 0:
        values = np.asarray(rows.scores, dtype=np.float64).reshape(-1)
    low, high = np.quantile(values, [0.05, 0.95])
    return float(high - low) or 1.0


def compare(challenger: FloatArray, champion: FloatArray, *, margin: float, alpha_split: int = 1) -> Comparison:
    """Judge paired losses on the same rows; several challengers share the error."""
    differences = challenger - champion
    differences = differences[~np.isnan(differences)]
    n = int(differences.size)
    if n < _FEWEST:
        return Comparison(standing=Standing.INCONCLUSIVE, n=n, difference=0.0, low=-1.0, high=1.0)
    mean = float(differences.mean())
    width = math.sqrt(_NORMAL_95**2 + 2.0 * math.log(max(1, alpha_split)))
    half = width * max(float(differences.std(ddof=1)), 1.0 / n) / math.sqrt(n)
    standing = Standing.INCONCLUSIVE
    if mean + half < 0.0:
        standing = Standing.BETTER
    elif mean - half > 0.0:
        standing = Standing.WORSE
    elif mean + half <= margin:
        standing = Standing.NON_INFERIOR
    return Comparison(standing=standing, n=n, difference=mean, low=mean - half, high=mean + half)
