"""The bounded queue of shadow copies."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ["ShadowQueue"]

_Call = TypeVar("_Call")

_MAX_BYTES = 64 * 2**20


class ShadowQueue(Generic[_Call]):
    """Requests that wait for their shadow copy.

    Guarantees: never blocks; what does not fit is dropped; first in, first out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._calls: deque[tuple[_Call, int]] = deque()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def put(self, call: _Call, size_bytes: int) -> bool:
        """Queue a request; False if it was dropped."""
        if len(self._calls) >= self._limit or self._size_bytes + size_bytes > _MAX_BYTES:
            return False
        self._calls.append((call, size_bytes))
        self._size_bytes += size_bytes
        return True

    def take(self) -> _Call | None:
        """Return the request that waits longest, or None."""
        if not self._calls:
            return None
        call, size_bytes = self._calls.popleft()
        self._size_bytes -= size_bytes
        return call
