"""The words for a tensor that is not what the model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAME", "refused", "shown"]

NAME = 80
"""Characters of a caller's name that are repeated."""

_DIMENSIONS = 8
_DIGITS = 10**20


def refused(
    name: str, expected: str, got: str, hint: str = "see the inputs at `GET /v2/models/NAME`"
) -> InvalidRequest:
    """Build the error of one tensor: which, what was expected, what was sent; never a value of it."""
    short = name[:NAME]
    return InvalidRequest(
        f"input `{short}`: expected {expected}, got {got}",
        hint=hint,
        details={"field": short},
    )


def shown(shape: Sequence[int]) -> str:
    """Return a shape in few characters."""
    sizes = [str(size) if abs(size) < _DIGITS else "a huge number" for size in shape[:_DIMENSIONS]]
    return f"[{', '.join([*sizes, '...'] if len(shape) > _DIMENSIONS else sizes)}]"
