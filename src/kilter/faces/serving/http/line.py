"""The sending side of one connection: how an answer leaves, and how the connection ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from kilter.faces.serving.limits import WireLimits

__all__ = ["Line"]


def _ignore() -> None:
    """Do nothing."""


class Line:
    """A transport whose ``close`` is a wish: its owner decides how the connection ends.

    Guarantees: an answer that is written is sent before the end; a client that reads nothing, or never
    stops sending, is cut off within the limits.

    Parameters
    ----------
    transport : asyncio.Transport
        The connection.
    on_close : callable
        Called when somebody closes.
    """

    def __init__(self, transport: asyncio.Transport, on_close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self._transport = transport
        self._on_close = on_close
        self.unsent_bytes = 0
        self._stuck_since: float | None = None
        self._lingering_since: float | None = None
        self._heard_at = 0.0
        self._heard_bytes = 0

    def close(self) -> None:
        """Ask for the end."""
        self._on_close()

    def forget(self) -> None:
        """Let go of the owner."""
        self._on_close = _ignore

    def get_extra_info(self, name: str, default: object = None) -> Any:  # noqa: ANN401 - asyncio's type
        """Return what asyncio knows of the connection."""
        return self._transport.get_extra_info(name, default)

    def end(self) -> None:
        """Close when all is sent."""
        self._transport.close()

    def linger(self, now: float) -> None:
        """Send no more, but listen on: closing now could reset the connection before the client has read."""
        self._lingering_since = self._heard_at = now
        if not self._transport.is_closing():
            self._transport.write_eof()

    def discard(self, size_bytes: int, now: float, limits: WireLimits) -> None:
        """Take what a client still sends though nobody listens."""
        self._heard_at = now
        self._heard_bytes += size_bytes
        if self._lingering_since is not None and self._heard_bytes > limits.linger_bytes:
            self._transport.abort()

    def tend(self, now: float, limits: WireLimits) -> None:
        """Cut off who does not read, or has been listened to for long enough."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if not unsent_bytes:
            self._stuck_since = None
        elif self._stuck_since is None or unsent_bytes < self.unsent_bytes:
            self._stuck_since = now
        elif now - self._stuck_since > limits.write_stall_s:
            self._transport.abort()
        self.unsent_bytes = unsent_bytes
        if self._lingering_since is None or unsent_bytes:
            return
        if now - self._lingering_since > limits.linger_s or now - self._heard_at > limits.linger_idle_s:
            self._transport.close()
