"""A measured number with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Basis", "Direction", "Reading"]


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"
    TARGET = "target"
    NONE = "none"


class Basis(StrEnum):
    """What the number speaks of.

    ``census``: a fact about every row given, without interval. ``sample``: an inference, with one.
    """

    CENSUS = "census"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One estimate of one metric on one subject.

    ``subject`` is ``model``, ``dataset``, ``column:age`` or ``slice:plan=pro``. ``low`` and
    ``high`` bound the interval at ``level``; both are None for a census. ``estimate`` is None
    exactly when ``not_evaluated`` gives the reason (``code: text``).
    """

    metric: str
    subject: str = "model"
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    interval_method: str = ""
    n: int = 0
    direction: Direction = Direction.NONE
    basis: Basis = Basis.SAMPLE
    not_evaluated: str | None = None
    extra: Mapping[str, float | int | str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse numbers that no reader could use.

        Raises
        ------
        ValueError
            If a number is NaN or infinite, or both or neither of estimate and reason are given.
        """
        for name in ("estimate", "low", "high"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                message = f"reading {self.metric}: {name} is {value}, not a finite number"
                raise ValueError(message)
        if (self.estimate is None) == (self.not_evaluated is None):
            message = f"reading {self.metric}: give an estimate or the reason why there is none"
            raise ValueError(message)
