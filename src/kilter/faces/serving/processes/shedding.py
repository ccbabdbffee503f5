"""Refuses a share of the requests while the event loop is behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kilter.errors import Overloaded
from kilter.policy.overload import WINDOW_S, next_share, spread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Shedder"]

_MOST_WINDOWS = 16


class Shedder:
    """Decides, before anything is decoded, whether the event loop can afford a request.

    Guarantees: costs a look at the clock; refuses evenly, so that no client is refused for long while others are
    not; refuses nothing while the loop is on time. The event loop owns it.

    Parameters
    ----------
    lag_s : callable
        The least delay of the loop over the last window, in seconds.
    now_s : callable
        A clock that only grows.
    """

    def __init__(self, lag_s: Callable[[], float], *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._lag_s = lag_s
        self._now_s = now_s
        self._judged_s = now_s()
        self._credit = 0.0
        self.share = 0.0
        self.refused = 0

    def admit(self) -> None:
        """Let a request in.

        Raises
        ------
        Overloaded
            If it is among the share to be refused.
        """
        now_s = self._now_s()
        if now_s - self._judged_s >= WINDOW_S:
            self._judge(now_s)
        if not self.share:
            return
        is_refused, self._credit = spread(self._credit, self.share)
        if is_refused:
            self.refused += 1
            message = "this serving process has more to do than it can"
            raise Overloaded(
                message, hint="send the request again after `Retry-After` seconds, or add `workers` under [serving]"
            )

    def _judge(self, now_s: float) -> None:
        """Judge the windows that passed; those without requests all saw the lag of now."""
        windows = int((now_s - self._judged_s) / WINDOW_S)
        self._judged_s += windows * WINDOW_S
        lag_s = self._lag_s()
        for _ in range(min(windows, _MOST_WINDOWS) if self.share else 1):
            self.share = next_share(self.share, lag_s)
