"""Tells that the disk of the log runs low, before it is full: once, and once when there is room again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kilter.contracts.log import Room

__all__ = ["LowWater"]

_MARK_BYTES = 1024**3
_MARK_DIVISOR = 20  # on a small disk: a twentieth of it
_MIB = 1024**2


class LowWater:
    """The mark below which room is low: 1 GiB, or 5 % of a disk under 20 GiB. It ends at a quarter above."""

    def __init__(self) -> None:
        self._is_low = False

    def look(self, room: Room) -> tuple[str, str] | None:
        """Return name and detail of the event if the mark was crossed since the last look."""
        mark = min(_MARK_BYTES, room.total_bytes // _MARK_DIVISOR)
        told = f"{room.free_bytes / _MIB:.1f} MiB are free, the mark is at {mark / _MIB:.1f} MiB"
        if not self._is_low and room.free_bytes < mark:
            self._is_low = True
            return "log.low", f"{told}; when nothing is left, predictions are refused or go without a record"
        if self._is_low and room.free_bytes >= mark + mark // 4:
            self._is_low = False
            return "log.room", told
        return None
