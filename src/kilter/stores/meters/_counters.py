"""The hot end of the meters: adding to slots of a file that is mapped into memory."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from kilter.contracts.meters import BOUNDS_NS
from kilter.stores.meters._layout import COMPUTE, LAST, QUEUE, ROWS, TOTAL, WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SeriesCounters", "SlotCounter"]

_TOTAL_SUM, _COMPUTE_SUM, _QUEUE_SUM = TOTAL + WIDTH - 1, COMPUTE + WIDTH - 1, QUEUE + WIDTH - 1


class SlotCounter:
    """One counter or gauge."""

    __slots__ = ("_slots",)

    def __init__(self, slots: memoryview) -> None:
        self._slots = slots

    def add(self, count: int = 1) -> None:
        """Add to it."""
        self._slots[0] += count

    def set(self, value: int) -> None:
        """Replace it."""
        self._slots[0] = value

    def copied(self, slots: memoryview) -> Callable[[], None]:
        """Write the count to other slots; return what makes it go on there."""
        slots[:] = self._slots
        return lambda: setattr(self, "_slots", slots)


class SeriesCounters:
    """The counts of one deployment, version, arm and face: eight additions for an answer."""

    __slots__ = ("_clock_ns", "_failures", "_slot", "_slots")

    def __init__(self, slots: memoryview, clock_ns: Callable[[], int], slot: Callable[[str], SlotCounter]) -> None:
        """``slot`` finds the counter of requests that ended with a code."""
        self._slots = slots
        self._clock_ns = clock_ns
        self._slot = slot
        self._failures: dict[str, SlotCounter] = {}

    def answered(self, rows: int, total_ns: int, compute_ns: int, queue_ns: int = 0) -> None:
        """Count one answered request."""
        slots = self._slots
        slots[bisect_left(BOUNDS_NS, total_ns)] += 1
        slots[_TOTAL_SUM] += total_ns
        slots[COMPUTE + bisect_left(BOUNDS_NS, compute_ns)] += 1
        slots[_COMPUTE_SUM] += compute_ns
        slots[QUEUE + bisect_left(BOUNDS_NS, queue_ns)] += 1
        if queue_ns:
            slots[_QUEUE_SUM] += queue_ns
        slots[ROWS] += rows
        slots[LAST] = self._clock_ns()

    def failed(self, code: str) -> None:
        """Count one request that ended with an error's code."""
        counter = self._failures.get(code)
        if counter is None:
            counter = self._failures[code] = self._slot(code)
        counter.add()

    def copied(self, slots: memoryview) -> Callable[[], None]:
        """Write the counts to other slots; return what makes them go on there."""
        slots[:] = self._slots
        return lambda: setattr(self, "_slots", slots)
