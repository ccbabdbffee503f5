"""What calls of a version cost, before its first request."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kilter.contracts.batch import Batch
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
_NS_PER_S = 1_000_000_000


class Probe(NamedTuple):
    """Median seconds of a single-row call, and the first observations of the cost of calls."""

    single_s: float
    fit: CostFit


def plausible(variant: Variant, rows: int) -> Batch:
    """Return rows that the version can take: low ends and first levels."""
    low = np.where(np.isfinite(variant.low), variant.low, 0.0)
    text = np.empty((rows, len(variant.levels)), dtype=np.object_)
    text[:] = [min(levels, default="") for levels in variant.levels]
    return Batch(rows=rows, numeric=np.tile(low, (rows, 1)), text=text)


def probe(variant: Variant, *, now_ns: Callable[[], int] = time.perf_counter_ns) -> Probe:
    """Time a version that is warm: one row up to 15 times, then up to 64 rows, each within a quarter of a second.

    The rows are made up, so a model that refuses them is timed all the same: whether it is right was judged before.
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
    batch = plausible(variant, rows)
    taken: list[float] = []
    while len(taken) < most and sum(taken) < _BUDGET_S:
        begun_ns = now_ns()
        with contextlib.suppress(ModelFailed):
            variant.model.run(batch)
        taken.append((now_ns() - begun_ns) / _NS_PER_S)
    return taken
