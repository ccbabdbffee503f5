"""What a check is given, and what it declares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from kilter.contracts.arrays import Array, Columns
from kilter.contracts.reading import Direction, Reading
from kilter.contracts.signature import Signature

__all__ = ["Check", "CheckInputs", "CheckSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSpec:
    """The one constant ``CHECK`` of a check's file.

    ``needs`` is a subset of ``labels``, ``scores``, ``columns``, ``reference``, ``durations``;
    ``tasks`` are the tasks that it applies to (empty: all). ``unit_range``: values lie in [0, 1].
    """

    id: str
    title: str
    needs: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    version: int = 1
    direction: Direction = Direction.NONE
    unit_range: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInputs:
    """Held-out rows with everything the version said of them. Arrays are read-only.

    ``labels``: float64 (n,), class index, or the value for regression. ``scores``: float64
    (n, classes) calibrated probabilities or (n,) values. ``columns``: the table's columns, the
    target's labels as text or values among them where known. ``slices``: columns to cut by.
    ``reference``: the reference data's columns, or None. ``durations_ms``: float64 (calls,)
    of single-row calls through the loaded runtime, or None.
    """

    signature: Signature
    threshold: float = 0.5
    labels: Array | None = None
    scores: Array | None = None
    columns: Columns = field(default_factory=dict)
    reference: Columns | None = None
    durations_ms: Array | None = None
    slices: tuple[str, ...] = ()
    seed: int = 0


class Check(Protocol):
    """A check's module: its constant and its function.

    Guarantees: pure; the same inputs give the same readings; inputs are not changed.
    """

    CHECK: CheckSpec

    def run(self, inputs: CheckInputs) -> tuple[Reading, ...]:
        """Measure; at least one reading, with a reason where nothing could be measured.

        Raises
        ------
        Nothing
        """
        ...
