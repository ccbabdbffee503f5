"""``GET /metrics``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kilter.faces.serving.exchange import Reply, plain_wording
from kilter.faces.serving.metrics.exposition import exposition, form_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.contracts.meters import MeterReader
    from kilter.errors import KilterError
    from kilter.faces.serving.exchange import Handler, Request

__all__ = ["MetricsEndpoints"]


class MetricsEndpoints:
    """The metrics of a whole node, from any of its serving processes.

    Parameters
    ----------
    reader : MeterReader
        Sums what all processes count.
    refresh : callable
        Brings this process's gauges up to date.
    """

    roots: tuple[str, ...] = ("metrics",)

    def __init__(self, reader: MeterReader, *, refresh: Callable[[], None] = lambda: None) -> None:
        self._reader = reader
        self._refresh = refresh

    def wording(self, error: KilterError, status: int) -> bytes:
        """Return kilter's error document."""
        return plain_wording(error, status)

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return the only path."""
        return {("GET", "/metrics"): self._metrics}

    async def _metrics(self, request: Request) -> Reply:
        """Answer; files are read and text is written on another thread, so that predictions go on."""
        self._refresh()
        form = form_for(request.headers.get(b"accept", b""))
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(None, lambda: exposition(self._reader.totals(), form))
        return Reply(200, [(b"content-type", form.content_type), (b"cache-control", b"no-store")], body)
