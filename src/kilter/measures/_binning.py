"""Cells: how values become counts."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.signature import Task
from kilter.measures._profile import OUTCOME_WIDTH, CategoricalMap, NumericMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilter.measures.rows import FloatArray, TextArray

_MAX_BINS = 256
_MAX_ATOMS = 128
_ATOM_SHARE = 1 / 512
_GRID = 4096
_MAX_LEVELS = 200
_LEVEL_SHARE = 0.001
_MAX_KNOWN = 50_000
_SCORE_EDGES = 512
_FIXED = float(2**30)
_RESIDUAL_UNITS = float(2**20)


def numeric_map(name: str, values: FloatArray) -> NumericMap:
    """Choose edges from the values of a reference column: atoms, quantiles, minimum and maximum."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        edges = np.zeros(1)
    else:
        distinct, counts = np.unique(finite, return_counts=True)
        if distinct.size <= _MAX_BINS:
            atoms, cuts = distinct, distinct[:0]
        else:
            is_atom = counts >= max(2, finite.size * _ATOM_SHARE)
            order = np.argsort(-counts[is_atom], kind="stable")[:_MAX_ATOMS]
            atoms = distinct[is_atom][order]
            cuts = _quantile_cuts(finite, _MAX_BINS - atoms.size)
        with np.errstate(over="ignore"):  # nothing lies above the largest number
            ends = np.array([distinct[0], np.nextafter(distinct[-1], np.inf)])
            edges = np.unique(np.concatenate([atoms, np.nextafter(atoms, np.inf), cuts, ends]))
        edges = edges[np.isfinite(edges)]
    return NumericMap(name=name, edges=edges, counts=count_numeric(edges, values))


def _quantile_cuts(finite: FloatArray, bins: int) -> FloatArray:
    """Return quantiles snapped to a uniform grid over the middle 99.8 % of the mass."""
    low, high = np.quantile(finite, [0.001, 0.999])
    cuts = np.quantile(finite, np.linspace(0, 1, bins + 1)[1:-1])
    if high <= low:
        return np.unique(cuts)
    step = (high - low) / _GRID
    return np.unique(low + np.rint((cuts - low) / step) * step)


def count_numeric(edges: FloatArray, values: FloatArray) -> NDArray[np.int64]:
    """Count values by cell."""
    cells = 3 + np.searchsorted(edges, values, side="right")
    cells[np.isnan(values)] = 0
    cells[np.isneginf(values)] = 1
    cells[np.isposinf(values)] = 2
    return np.bincount(cells, minlength=edges.size + 4).astype(np.int64)


def in_order(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put the cells of a numeric column in the order of their values, the missing left out."""
    return np.concatenate([counts[1:2], counts[3:], counts[2:3]])


def level_hash(level: str) -> int:
    """Return a stable 64-bit hash of a level."""
    return int.from_bytes(hashlib.blake2b(level.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def categorical_map(name: str, values: TextArray) -> CategoricalMap:
    """Choose the levels to list from the values of a reference column."""
    tally = Counter(values.tolist())
    tally.pop(None, None)
    total = max(1, sum(tally.values()))
    ranked = sorted(tally, key=lambda level: (-tally[level], level))
    levels = tuple(level for level in ranked[:_MAX_LEVELS] if tally[level] >= total * _LEVEL_SHARE)
    hashes = np.unique(np.array([level_hash(level) for level in ranked[:_MAX_KNOWN]], dtype=np.uint64))
    counts = count_text(levels, hashes, values)
    once = sum(1 for count in tally.values() if count == 1)
    return CategoricalMap(name=name, levels=levels, known=hashes, counts=counts, once=once)


def count_text(levels: tuple[str, ...], known: NDArray[np.uint64], values: TextArray) -> NDArray[np.int64]:
    """Count texts by cell; levels beyond the remembered ones count as rare where too many were seen."""
    position = {level: index for index, level in enumerate(levels)}
    counts = np.zeros(len(levels) + 3, dtype=np.int64)
    for level, count in Counter(values.tolist()).items():
        if level is None:
            counts[-1] += count
        elif level in position:
            counts[position[level]] += count
        else:
            is_known = known.size >= _MAX_KNOWN or bool(np.isin(np.uint64(level_hash(level)), known))
            counts[-3 if is_known else -2] += count
    return counts


def subject_score(task: Task, positive: int, scores: FloatArray) -> FloatArray:
    """Return the one score per row that profiles speak of."""
    if task is Task.REGRESSION:
        return scores.reshape(-1)
    if task is Task.BINARY:
        return scores[:, positive]
    top: FloatArray = np.max(scores, axis=1, initial=0.0)
    return top


def subject_decision(task: Task, positive: int, decided: FloatArray) -> NDArray[np.int64]:
    """Return 1 where the outcome was said to happen, else 0."""
    if task is Task.BINARY:
        said: NDArray[np.int64] = (decided == positive).astype(np.int64)
        return said
    return np.ones(decided.size, dtype=np.int64)


def subject_outcome(task: Task, positive: int, decided: FloatArray, labels: FloatArray) -> FloatArray:
    """Return what happened: 1 or 0, or the value for regression."""
    if task is Task.REGRESSION:
        return labels
    truth = decided if task is Task.MULTICLASS else np.float64(positive)
    happened: FloatArray = (labels == truth).astype(np.float64)
    return happened


def score_edges(task: Task, score: FloatArray) -> FloatArray:
    """Choose the edges of the score bins: uniform and quantile cuts together."""
    if task is Task.REGRESSION:
        return numeric_map("", score).edges
    inner = np.linspace(0, 1, _SCORE_EDGES + 1)[1:-1]
    return np.unique(np.concatenate([inner, np.quantile(score, inner)]))


def score_bins(edges: FloatArray, score: FloatArray) -> NDArray[np.int64]:
    """Return the bin of each score; there is one bin more than edges."""
    return np.searchsorted(edges, score, side="right").astype(np.int64)


def fixed(values: FloatArray) -> NDArray[np.int64]:
    """Turn scores into integers that add exactly; beyond +-2**20 they are clipped."""
    return np.rint(np.clip(np.nan_to_num(values), -_RESIDUAL_UNITS, _RESIDUAL_UNITS) * _FIXED).astype(np.int64)


def sums(bins: NDArray[np.int64], values: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Add integers by bin, exactly."""
    total = np.zeros(size, dtype=np.int64)
    np.add.at(total, bins, values)
    return total


def outcome_counts(
    bins: NDArray[np.int64], said: NDArray[np.int64], outcome: FloatArray, score: FloatArray, size: int
) -> NDArray[np.int64]:
    """Count labelled classification rows by bin: rows by decision and truth, sums of score and its square by truth."""
    table = np.zeros((size, OUTCOME_WIDTH), dtype=np.int64)
    truth = outcome.astype(np.int64)
    np.add.at(table, (bins, said * 2 + truth), 1)
    np.add.at(table, (bins, 4 + truth), fixed(score))
    np.add.at(table, (bins, 6 + truth), fixed(score * score))
    return table


def residual_counts(bins: NDArray[np.int64], residual: FloatArray, bound: float, size: int) -> NDArray[np.int64]:
    """Count labelled regression rows by bin: rows, sums of error, absolute and squared error in units of the bound."""
    table = np.zeros((size, OUTCOME_WIDTH), dtype=np.int64)
    scaled = np.clip(residual / bound, -1.0, 1.0)
    table[:, 0] = np.bincount(bins, minlength=size)
    for column, values in ((4, scaled), (5, np.abs(scaled)), (6, scaled * scaled)):
        table[:, column] = sums(bins, fixed(values), size)
    return table
