"""What the predictor counts: every answer, failure and dropped shadow copy, under the version that it concerns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from kilter.contracts.prediction import Flag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kilter.contracts.meters import Meters, Series
    from kilter.errors import KilterError
    from kilter.services.predictor._call import Call
    from kilter.services.predictor._lane import Lane

__all__ = ["Counts"]

_BY_PROCESS = ("kilter_worker_restarts_total", "kilter_quarantined_total")
_UNSEEN, _FALLBACK = int(Flag.UNSEEN_LEVEL), int(Flag.FALLBACK)


class Counts:
    """Counts in the meters; without any, counts nothing.

    A target keeps the counters of what it answers, so that they go with it. An answer of a fallback
    stands under an arm of its own: it speaks for neither side of a rollout.
    """

    def __init__(self, meters: Meters | None) -> None:
        self._meters = meters
        self._seen: WeakKeyDictionary[Lane, tuple[int, int]] = WeakKeyDictionary()

    def answered(self, call: Call) -> None:
        """Count an answer that is ready to leave."""
        if self._meters is None:
            return
        arm = "fallback" if call.flags & _FALLBACK else call.assignment.arm
        series = call.target.series.get((call.variant.number, arm, call.face)) or self._series(self._meters, call, arm)
        total_ns = time.perf_counter_ns() - call.started_ns
        series.answered(call.batch.rows, total_ns, call.compute_ns, call.queue_ns)
        if call.flags & _UNSEEN:
            self._meters.slot("kilter_unseen_category_total", call.route.deployment, call.variant.name).add()

    def failed(self, call: Call, error: KilterError) -> None:
        """Count a failure; whoever words the error need not count it again."""
        if self._meters is None:
            return
        arm = call.assignment.arm
        series = call.target.series.get((call.variant.number, arm, call.face)) or self._series(self._meters, call, arm)
        series.failed(error.code)
        error.is_counted = True

    def dropped(self, call: Call) -> None:
        """Count a shadow copy that found no room."""
        if self._meters is not None:
            self._meters.slot("kilter_shadow_dropped_total", call.route.deployment).add()

    def processes(self, lanes: Iterable[tuple[str, Lane]]) -> None:
        """Count what befell the processes of models since the last look."""
        for deployment, lane in lanes if self._meters is not None else ():
            name, before = lane.variant.name, self._seen.get(lane, (0, 0))
            now = self._seen[lane] = (lane.falls, lane.stats.quarantined)
            for metric, count, known in zip(_BY_PROCESS, now, before, strict=True):
                if count > known and self._meters is not None:
                    self._meters.slot(metric, deployment, name).add(count - known)

    @staticmethod
    def _series(meters: Meters, call: Call, arm: str) -> Series:
        """Ask for counters, and keep them beside the target."""
        series = meters.series(call.route.deployment, call.variant.name, str(arm), call.face)
        call.target.series[call.variant.number, arm, call.face] = series
        return series
