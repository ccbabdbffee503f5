"""Everything by which a serving process is seen from outside, in one object for it to keep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kilter.contracts.meters import ANSWERED
from kilter.contracts.version import VERSION
from kilter.faces.serving.metrics.endpoints import MetricsEndpoints
from kilter.faces.serving.metrics.lag import LoopLag
from kilter.faces.serving.metrics.refusal import Refusals
from kilter.faces.serving.metrics.spans import spans_of

if TYPE_CHECKING:
    import asyncio

    from kilter.contracts.meters import MeterReader, Meters
    from kilter.services.predictor import Predictor

__all__ = ["Observation"]


class Observation:
    """Metrics, refusals, the delay of the loop, spans.

    Parameters
    ----------
    meters : Meters
        Where this process counts.
    reader : MeterReader
        Sums what all processes count.
    predictor : Predictor
        Says which deployments there are.

    Raises
    ------
    StoreError
        If this process cannot have a file to count in.
    """

    def __init__(self, *, meters: Meters, reader: MeterReader, predictor: Predictor) -> None:
        self._predictor = predictor
        self._meters = meters
        self._generation = meters.slot("kilter_route_generation")
        self._fast_path = meters.slot("kilter_fast_path")
        meters.slot("kilter_build_info", VERSION).set(1)
        self.lag = LoopLag(meters.slot("kilter_loop_lag_seconds"))
        self.refusals = Refusals(meters, is_loaded=lambda name: name in predictor.deployments())
        self.endpoints = MetricsEndpoints(reader, refresh=self.refresh)
        self.totals = reader.all_statistics
        self.spans = spans_of(os.environ)

    def start(self, loop: asyncio.AbstractEventLoop, *, is_fast: bool) -> None:
        """Begin to watch the loop; ``is_fast`` says whether requests are answered inside the HTTP parser."""
        self._fast_path.set(int(is_fast))
        self.lag.start(loop)

    def took_feedback(self, deployment: str) -> None:
        """Count a request with labels that was accepted."""
        self._meters.slot("kilter_requests_total", deployment, "", "", "feedback", ANSWERED).add()

    def refresh(self) -> None:
        """Count what nobody counts at once; called from time to time, and before this process is asked for them."""
        self._generation.set(self._predictor.generation)
        self._predictor.count_processes()

    def close(self) -> None:
        """End watching, send what spans wait; what was counted stays."""
        self.refresh()
        self.lag.stop()
        if self.spans is not None:
            self.spans.close()
