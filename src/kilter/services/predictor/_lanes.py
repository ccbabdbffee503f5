"""The lanes of all loaded versions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kilter.errors import NotReady
from kilter.services.predictor._lane import Lane, LaneKind, kind_of
from kilter.services.predictor._lane_poison import Poison
from kilter.services.predictor._lane_probe import probe
from kilter.services.predictor._lane_thread import LaneThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.ids import Digest
    from kilter.contracts.quarantine import QuarantineShelf
    from kilter.services.predictor._variant import Variant

__all__ = ["Lanes"]


class Lanes:
    """One lane for each loaded version, by its digest: equal bytes under two numbers share one.

    Guarantees: all versions that are too slow for the event loop, but not by much, share one side thread and take
    turns there; each slower one, and each with a process of its own, has its own thread. ``obtain`` may run on
    another thread than the rest.

    Parameters
    ----------
    time_ns : callable
        Nanoseconds since the epoch, for what is kept out for 24 h.
    shelf : QuarantineShelf or None
        Keeps deadly inputs.
    now_ns : callable
        The clock of deadlines.
    """

    def __init__(
        self,
        *,
        time_ns: Callable[[], int],
        shelf: QuarantineShelf | None = None,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._time_ns = time_ns
        self._shelf = shelf
        self._now_ns = now_ns
        self._side = LaneThread("side", now_ns=now_ns)
        self._lanes: dict[Digest, Lane] = {}
        self._retired: set[Lane] = set()

    def obtain(self, variant: Variant) -> Lane:
        """Return the lane of a loaded, warm version; a new one is timed first."""
        lane = self._lanes.get(variant.digest)
        if lane is None:
            timed = probe(variant, now_ns=self._now_ns)
            kind = kind_of(variant, timed)
            is_shared = kind in (LaneKind.INLINE, LaneKind.SIDE)
            thread = self._side if is_shared else LaneThread(f"version-{variant.name}", now_ns=self._now_ns)
            poison = Poison(variant.digest, time_ns=self._time_ns, shelf=self._shelf)
            lane = Lane(variant, kind, thread, probe=timed, poison=poison, on_closed=self._forget)
            self._lanes[variant.digest] = lane
        return lane

    def of(self, variant: Variant) -> Lane:
        """Return the lane of a loaded version.

        Raises
        ------
        NotReady
            If a swap has let it go: whoever held it meanwhile asks again.
        """
        lane = self._lanes.get(variant.digest)
        if lane is None:
            message = f"version {variant.name} was let go by a swap while the request was being read"
            raise NotReady(message, hint="send the request again")
        return lane

    def let_go(self, variant: Variant) -> None:
        """Close a version's model as soon as nothing waits or runs any more."""
        lane = self._lanes.pop(variant.digest, None)
        if lane is None:
            variant.model.close()
            return
        self._retired.add(lane)
        lane.retire()

    def close(self) -> None:
        """Close all models now; what waits is told."""
        for lane in (*self._lanes.values(), *self._retired):
            lane.thread.close()
            lane.close()
        self._lanes.clear()
        self._side.close()

    def _forget(self, lane: Lane) -> None:
        """Let go of a lane whose model is closed, and of its thread."""
        self._retired.discard(lane)
        if lane.thread is not self._side:
            lane.thread.close()
