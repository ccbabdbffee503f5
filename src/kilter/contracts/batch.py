"""Rows on their way through a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kilter.contracts.arrays import Array

__all__ = ["Batch", "Scores"]


class Batch(NamedTuple):
    """Validated rows in the order of a signature.

    ``numeric`` is float64 of shape (rows, len(signature.numeric_names)), C order, NaN = missing,
    booleans as 0 and 1. ``text`` is an object array of shape (rows, len(signature.text_names))
    holding ``str`` or None.
    """

    rows: int
    numeric: Array
    text: Array


class Scores(NamedTuple):
    """What a model answered, before any calibration map.

    ``values`` is float64: probabilities of shape (rows, classes) in the order of
    ``signature.classes``, or predictions of shape (rows,) for regression.
    """

    values: Array
