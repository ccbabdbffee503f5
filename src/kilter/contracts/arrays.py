"""The little that contracts must know of an array; ``numpy.ndarray`` fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

__all__ = ["Array", "Columns"]


class Array(Protocol):
    """An n-dimensional array; rings above narrow it with ``numpy.asarray`` (no copy).

    Guarantees: never mutated by the receiver.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the length of each dimension; raises nothing.

        Raises
        ------
        Nothing
        """
        ...

    def tobytes(self) -> bytes:
        """Return the elements as raw row-major bytes.

        Raises
        ------
        MemoryError
            If there is no room for the copy.
        """
        ...


Columns: TypeAlias = Mapping[str, Array]
"""Named columns of equal length: float64 for numbers (NaN = missing), object (``str`` or None) for text."""
