"""What calls of a version cost, before its first request."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.signature import ColumnType
from kilter.errors import ModelFailed
from kilter.policy.batching import CostFit, observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.services.predictor._variant import Variant

__all__ = ["Probe", "plausible", "probe"]

_CALLS = 15
_LONG_CALLS = 3
_BUDGET_S = 0.25
_MANY = 64
_FEW = 8  # fewer golden rows than these would be foreseen, too
_SEED = 7
_NS_PER_S = 1_000_000_000


class Probe(NamedTuple):
    """Median seconds of a single-row call, and the first observations of the cost of calls."""

    single_s: float
    fit: CostFit


def plausible(variant: Variant, rows: int) -> Batch:
    """Return rows that the version can take, unlike one another: its golden rows, else rows drawn from its ranges.

    Equal rows would take the same branches of a tree, which processors foresee: such a call costs a third of a
    real one. The same version gives the same rows.
    """
    known = variant.samples
    if known is None or known.rows < _FEW:
        return _drawn(variant, rows)
    at = np.arange(rows) % known.rows
    return Batch(rows=rows, numeric=np.asarray(known.numeric)[at], text=np.asarray(known.text)[at])


def _drawn(variant: Variant, rows: int) -> Batch:
    """Return made-up rows: numbers between known ends, whole where the column is, and the levels in turn."""
    has_low, has_high = np.isfinite(variant.low), np.isfinite(variant.high)
    low = np.where(has_low, variant.low, np.where(has_high, variant.high, 0.0))
    high = np.where(has_high, variant.high, low)  # nothing beyond what the model is known to take
    share = np.random.default_rng(_SEED).random((rows, len(low)))
    numeric = low * (1.0 - share) + high * share
    kinds = [column.type for column in variant.signature.columns if column.type is not ColumnType.TEXT]
    is_whole = np.array([kind is not ColumnType.FLOAT for kind in kinds], dtype=bool)
    numeric[:, is_whole] = np.rint(numeric[:, is_whole])
    text = np.empty((rows, len(variant.levels)), dtype=np.object_)
    for position, levels in enumerate(variant.levels):
        ordered = sorted(levels) or [""]
        text[:, position] = [ordered[(row + row // len(ordered) * position) % len(ordered)] for row in range(rows)]
    return Batch(rows=rows, numeric=numeric, text=text)


def probe(variant: Variant, *, now_ns: Callable[[], int] = time.perf_counter_ns) -> Probe:
    """Time a version that is warm: one row up to 15 times, then up to 64 rows, each within a quarter of a second.

    Rows may be made up, so a model that refuses them is timed all the same: whether it is right was judged before.
    """
    singles = _timed(variant, 1, _CALLS, now_ns)
    single_s = statistics.median(singles)
    rows = int(min(_MANY, max(2.0, _BUDGET_S / max(single_s, 1e-9))))
    fit = CostFit()
    for one_s, many_s in zip(singles, _timed(variant, rows, _LONG_CALLS, now_ns), strict=False):
        fit = observed(observed(fit, 1, min(one_s, single_s)), rows, many_s)
    return Probe(single_s, fit)


def _timed(variant: Variant, rows: int, most: int, now_ns: Callable[[], int]) -> list[float]:
    """Return the seconds of up to ``most`` calls, as many as fit into the budget; at least one."""
    pool = plausible(variant, max(rows, _MANY))
    numeric, text = np.asarray(pool.numeric), np.asarray(pool.text)
    taken: list[float] = []
    while len(taken) < most and sum(taken) < _BUDGET_S:
        at = np.arange(len(taken), len(taken) + rows) % pool.rows  # each call begins with another row
        batch = Batch(rows=rows, numeric=numeric[at], text=text[at])
        begun_ns = now_ns()
        with contextlib.suppress(ModelFailed):
            variant.model.run(batch)
        taken.append((now_ns() - begun_ns) / _NS_PER_S)
    return taken
