"""Isotonic regression: the nearest rising sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kilter.measures.rows import FloatArray

__all__ = ["isotonic"]


def isotonic(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Rising sequence that is nearest to the values in weighted squared error.

    In plain words: smooths a curve just as much as it takes for it never to fall.

    Parameters
    ----------
    values : float array of shape (n,)
        Values in the order in which they should rise.
    weights : float array of shape (n,), > 0
        How much each value counts.

    Returns
    -------
    float array of shape (n,)
        Never falling; equal values where the input falls.

    Raises
    ------
    Nothing
        An empty input gives an empty output.

    Notes
    -----
    Pool adjacent violators: neighbours that fall are replaced by their weighted mean until none
    falls. O(n) time and memory. `scipy.optimize.isotonic_regression` gives the same (tests compare),
    but importing it costs more time than a whole command should take.

    References
    ----------
    Barlow, Bartholomew, Bremner, Brunk (1972), Statistical Inference under Order Restrictions.

    Examples
    --------
    >>> isotonic(np.array([1.0, 3.0, 2.0, 4.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    array([1. , 2.5, 2.5, 4. ])
    """
    means: list[float] = []
    masses: list[float] = []
    lengths: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, length = value, weight, 1
        while means and means[-1] >= mean:
            total = masses[-1] + mass
            mean = (means.pop() * masses[-1] + mean * mass) / total
            masses.pop()
            mass, length = total, length + lengths.pop()
        means.append(mean)
        masses.append(mass)
        lengths.append(length)
    return np.repeat(np.array(means, dtype=np.float64), np.array(lengths, dtype=np.int64))
