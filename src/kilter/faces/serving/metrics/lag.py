"""How late an event loop is: the sign of more work than a process can do."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from kilter.contracts.meters import Slot

__all__ = ["LoopLag"]

_TICK_S = 0.010
_WINDOW_S = 0.100
_LEAST = 2  # one look that came late is a hiccup, however long ago the one before was
_SHOWN_S = 5.0  # the gauge holds the longest delay of this span and the one before
_NS_PER_S = 1_000_000_000


class LoopLag:
    """Sets a timer of 10 ms again and again, and looks how late it comes.

    One long delay is a hiccup; a loop that has more to do than it can is late every time. So the least
    delay of the last 100 ms is what overload is judged by, and the longest of the last five to ten
    seconds is what people are shown.

    Parameters
    ----------
    slot : Slot or None
        The gauge of the longest delay, in nanoseconds.
    """

    def __init__(self, slot: Slot | None = None) -> None:
        self._slot = slot
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._turned = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        self._longest = self._longest_before = 0.0
        self.minimum_s = 0.0

    @property
    def maximum_s(self) -> float:
        """The longest delay of the last five to ten seconds."""
        return max(self._longest, self._longest_before)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch a loop, on its own thread."""
        self._loop = loop
        self._turned = time.perf_counter()
        self._set(loop)

    def stop(self) -> None:
        """End watching."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None
        self.minimum_s = 0.0

    def note(self, now: float, delay_s: float) -> None:
        """Take one delay into account; ``now`` is ``time.perf_counter()``."""
        recent = self._recent
        recent.append((now, delay_s))
        while len(recent) > _LEAST and now - recent[0][0] > _WINDOW_S:
            recent.popleft()
        self.minimum_s = min(delay for _, delay in recent)
        before = self.maximum_s
        if now - self._turned >= _SHOWN_S:
            self._longest_before, self._longest, self._turned = self._longest, 0.0, now
        self._longest = max(self._longest, delay_s)
        if self._slot is not None and self.maximum_s != before:
            self._slot.set(int(self.maximum_s * _NS_PER_S))

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the timer."""
        self._due = time.perf_counter() + _TICK_S
        self._timer = loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        """Look how late the timer came, and set it again."""
        if self._loop is not None:
            now = time.perf_counter()
            self.note(now, max(0.0, now - self._due))
            self._set(self._loop)
