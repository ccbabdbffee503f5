"""Reads stored profiles: counts of a window beside those of its version's reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilter.errors import KilterError
from kilter.faces.web.charts import Bar, Bin
from kilter.measures.interval import wilson_interval
from kilter.measures.profile import codec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilter.app import App
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.monitor import Window
    from kilter.measures.profile import NumericMap, ReferenceProfile, WindowProfile

__all__ = ["column_bars", "columns", "reference_of", "reliability_bins", "window_profile"]

_FIXED = float(2**30)
_MOST_BARS = 12
_GROUPS = 10


def reference_of(app: App, version: ModelVersion) -> ReferenceProfile | None:
    """Return the reference profile of a version, or None if it has none that can be read."""
    manifest = version.manifest
    if not manifest.profile_file:
        return None
    try:
        return codec.decode_reference(app.blobs.get(manifest.entry(manifest.profile_file).digest))
    except KilterError:
        return None


def window_profile(app: App, window: Window, reference: ReferenceProfile) -> WindowProfile | None:
    """Return the profile of a window, or None if it cannot be read against this reference."""
    try:
        return codec.decode(app.blobs.get(window.profile), reference)
    except KilterError:
        return None


def reliability_bins(app: App, version: ModelVersion, history: Sequence[Window]) -> tuple[Bin, ...]:
    """Return stated and observed frequencies in at most ten groups of equal size."""
    reference = reference_of(app, version)
    if reference is None:
        return ()
    found = [profile for window in history if (profile := window_profile(app, window, reference)) is not None]
    if not found:
        return ()
    outcome = np.stack([profile.outcome for profile in found]).sum(axis=0)
    rows = outcome[:, :4].sum(axis=1)
    happened = outcome[:, 1] + outcome[:, 3]
    stated = outcome[:, 4:6].sum(axis=1) / _FIXED
    bins, start, goal = [], 0, max(1.0, rows.sum() / _GROUPS)
    for end in range(1, rows.size + 1):
        n = int(rows[start:end].sum())
        if n and (n >= goal or end == rows.size):
            k = int(happened[start:end].sum())
            low, high = wilson_interval(float(k), float(n))
            bins.append(Bin(stated=float(stated[start:end].sum()) / n, observed=k / n, low=low, high=high, n=n))
            start = end
    return tuple(bins)


def columns(reference: ReferenceProfile) -> tuple[str, ...]:
    """Return the names of all columns of a reference."""
    return tuple(one.name for one in reference.numeric) + tuple(one.name for one in reference.categorical)


def column_bars(reference: ReferenceProfile, profile: WindowProfile, column: str) -> tuple[Bar, ...]:
    """Return how often each value, or range of values, came up then and comes up now."""
    for one, counts in zip(reference.numeric, profile.numeric, strict=True):
        if one.name == column:
            return _numeric_bars(one, counts)
    for text, counts in zip(reference.categorical, profile.categorical, strict=True):
        if text.name == column:
            names = [*text.levels, "rare", "new", "missing"]
            return _bars(names, text.counts, counts)
    return ()


def _numeric_bars(one: NumericMap, counts: NDArray[np.int64]) -> tuple[Bar, ...]:
    """Merge the cells of a numeric column into few ranges of about equal reference mass."""
    then, now = np.asarray(one.counts), np.asarray(counts)
    edges = np.asarray(one.edges, dtype=np.float64)
    cells = then.size - 3
    goal = max(1.0, then[3:].sum() / (_MOST_BARS - 2))
    names, merged_then, merged_now, start = [], [], [], 0
    for end in range(1, cells + 1):
        total = int(then[3 + start : 3 + end].sum())
        if total >= goal or end == cells:
            names.append(_range(edges, start, end))
            merged_then.append(total)
            merged_now.append(int(now[3 + start : 3 + end].sum()))
            start = end
    names += ["infinite", "missing"]
    merged_then += [int(then[1] + then[2]), int(then[0])]
    merged_now += [int(now[1] + now[2]), int(now[0])]
    return _bars(names, np.array(merged_then, dtype=np.int64), np.array(merged_now, dtype=np.int64))


def _range(edges: NDArray[np.float64], start: int, end: int) -> str:
    """Name the cells from start to end by their edges."""
    if start == 0:
        return f"<{edges[min(end, edges.size) - 1]:.3g}" if edges.size else "all"
    if end > edges.size:
        return f"≥{edges[start - 1]:.3g}"
    return f"{edges[start - 1]:.3g} to {edges[end - 1]:.3g}"


def _bars(names: Sequence[str], then: NDArray[np.int64], now: NDArray[np.int64]) -> tuple[Bar, ...]:
    """Turn counts into shares; cells empty on both sides are left out, and the smallest beyond twelve merged."""
    all_then, all_now = max(1, int(then.sum())), max(1, int(now.sum()))
    bars = [
        Bar(label=name, reference=int(a) / all_then, now=int(b) / all_now, short=name.partition(" to ")[0])
        for name, a, b in zip(names, then, now, strict=True)
        if a or b
    ]
    if len(bars) <= _MOST_BARS:
        return tuple(bars)
    ranked = sorted(bars, key=lambda bar: -max(bar.reference, bar.now))
    kept = set(map(id, ranked[: _MOST_BARS - 1]))
    rest = ranked[_MOST_BARS - 1 :]
    other = Bar(label="others", reference=sum(bar.reference for bar in rest), now=sum(bar.now for bar in rest))
    return (*(bar for bar in bars if id(bar) in kept), other)
