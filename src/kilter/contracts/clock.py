"""The port through which services ask for the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Clock"]


class Clock(Protocol):
    """Tells the time: the system's, or a replayed one.

    Guarantees: safe from any thread; never goes backwards under a replay.
    """

    def now(self) -> datetime:
        """Return the time, aware, in UTC.

        Raises
        ------
        StoreError
            If a replayed clock cannot be read.
        """
        ...

    def time_ns(self) -> int:
        """Return nanoseconds since the epoch.

        Raises
        ------
        StoreError
            If a replayed clock cannot be read.
        """
        ...
