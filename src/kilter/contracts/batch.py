"""Rows on their way through a model."""

from __future__ import annotations

from dataclasses import dataclass

from kilter.contracts.arrays import Array
from kilter.contracts.swift import Swift

__all__ = ["Batch", "Scores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(metaclass=Swift):
    """Validated rows in the order of a signature.

    ``numeric`` is float64 of shape (rows, len(signature.numeric_names)), C order, NaN = missing,
    booleans as 0 and 1. ``text`` is an object array of shape (rows, len(signature.text_names))
    holding ``str`` or None.
    """

    rows: int
    numeric: Array
    text: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(metaclass=Swift):
    """What a model answered, before any calibration map.

    ``values`` is float64: probabilities of shape (rows, classes) in the order of
    ``signature.classes``, or predictions of shape (rows,) for regression.
    """

    values: Array
