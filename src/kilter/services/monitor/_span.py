"""Where the next window starts and ends, and how far it is filled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilter.policy import windows
from kilter.policy.health import Filling
from kilter.services.monitor import _ledger, _log

if TYPE_CHECKING:
    from datetime import datetime

    from kilter.contracts.clock import Clock
    from kilter.contracts.deployment import Deployment
    from kilter.contracts.metadata import MetadataStore
    from kilter.contracts.monitor import Window


class Spans:
    """Finds the ranges of time that make windows.

    Guarantees: a range depends on the log and the windows before it, not on when anybody looks.
    """

    def __init__(self, metadata: MetadataStore, log: _log.LogReader, clock: Clock) -> None:
        self._metadata = metadata
        self._log = log
        self._clock = clock

    def due(self, live: Deployment, now: datetime) -> tuple[int, int, int] | None:
        """Return start, end and rows of the next window that is over and full enough, or None."""
        window_ns = round(live.spec.monitor.window_s * 1e9)
        start_ns = self._next_start_ns(live)
        if start_ns is None:
            return None
        available = min((_log.nanoseconds(now) - start_ns) // window_ns, windows.BOUND)
        for span in dict.fromkeys((min(available, 1), available)):
            if span < 1:
                break
            rows = self._log.rows(_log.query(live.id, start_ns, start_ns + span * window_ns))
            places = (np.asarray(rows.ts_ns, dtype=np.int64) - start_ns) // window_ns
            counts = np.bincount(places, minlength=span).tolist()
            failed = self._failed(live, start_ns, window_ns, span)
            asked = [count + more for count, more in zip(counts, failed, strict=True)]
            taken = windows.window_count(asked, min_rows=live.spec.monitor.min_rows)
            if taken is not None:
                return start_ns, start_ns + taken * window_ns, sum(counts[:taken])
        return None

    def _failed(self, live: Deployment, start_ns: int, window_ns: int, span: int) -> list[int]:
        """Count failed requests by base window; they fill a window as rows do, so an outage is not waited out."""

        def count(first: int, last: int) -> int:
            query = _log.query(live.id, start_ns + first * window_ns, start_ns + last * window_ns)
            return sum(failed for failed, _ in self._log.failures(query).values())

        return [count(place, place + 1) for place in range(span)] if count(0, span) else [0] * span

    def filling(self, live: Deployment, number: int) -> Filling:
        """Return how far the open window is filled with a version's rows."""
        start_ns = self._next_start_ns(live)
        if start_ns is None:
            return Filling()
        window_ns = round(live.spec.monitor.window_s * 1e9)
        now_ns = self._clock.time_ns()
        query = replace(_log.query(live.id, start_ns, max(start_ns, now_ns)), versions=(number,))
        ends_ns = start_ns + window_ns
        return Filling(self._log.rows(query).n, _log.moment(ends_ns), is_over=ends_ns <= now_ns)

    def elsewhere(self, window: Window) -> int:
        """Count what candidates answered in a window in which the champion answered nothing."""
        if window.rows:
            return 0
        span = (_log.nanoseconds(window.start_at), _log.nanoseconds(window.end_at))
        return self._log.rows(replace(_log.query(window.deployment, *span), arms=())).n

    def _next_start_ns(self, live: Deployment) -> int | None:
        """Return where the next window starts, None before the first prediction."""
        last = self._metadata.read(lambda tx: _ledger.last_window(tx, live.id))
        if last is not None:
            return _log.nanoseconds(last.end_at)
        first_ns = self._log.first_ns(live.id)
        return None if first_ns is None else windows.grid_start(first_ns, round(live.spec.monitor.window_s * 1e9))
