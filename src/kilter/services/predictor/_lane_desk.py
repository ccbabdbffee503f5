"""Where a request that cannot be answered at once is sent: to a lane, within its deployment's share."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.contracts.prediction import Arm, Flag
from kilter.errors import NotReady, Overloaded
from kilter.policy.routing import Assignment
from kilter.services.predictor._lane_queue import Job, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilter.services.predictor._backup import Backup
    from kilter.services.predictor._call import Call
    from kilter.services.predictor._lane import Lane
    from kilter.services.predictor._lanes import Lanes
    from kilter.services.predictor._snapshot import Snapshot, Target

__all__ = ["Desk", "instead"]

_FALLBACK = int(Flag.FALLBACK)
_NS_PER_S = 1_000_000_000


class Desk:
    """Sends requests to lanes, around versions that are broken.

    Guarantees: of each deployment at most ``max_in_flight`` requests wait or run, so that one cannot take the
    room of the others. The event loop owns it.

    Parameters
    ----------
    lanes : Lanes
        Of all loaded versions.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._in_flight: Counter[str] = Counter()

    def enter(self, call: Call) -> tuple[Call, Job | None]:
        """Send a request to its lane; return who answers, and the job (None: the event loop runs it).

        Never raises: what is refused is a job that has failed.
        """
        try:
            lane = self._lanes.of(call.variant)
            if lane.is_broken:
                call = self._around(call)
                lane = self._lanes.of(call.variant)
        except NotReady as error:
            return call, refused(call, error)
        if lane.is_immediate(call.batch.rows):
            return call, None
        route = call.route
        if self._in_flight[route.deployment] >= route.max_in_flight:
            message = f"{route.max_in_flight} requests of `{route.deployment}` wait or run already"
            hint = "send fewer requests at once, or raise `max_in_flight` under [deployment]"
            return call, refused(call, Overloaded(message, hint=hint))
        job = lane.enter(call)
        self._in_flight[route.deployment] += 1
        job.future.add_done_callback(lambda _: self._leave(route.deployment))
        return call, job

    def broken(self, snapshot: Snapshot) -> Iterator[tuple[str, int]]:
        """Yield the versions whose process falls again and again."""
        for (deployment, number), variant in snapshot.variants.items():
            if self._lanes.of(variant).is_broken:
                yield deployment, number

    def lanes(self, snapshot: Snapshot) -> Iterator[tuple[str, Lane]]:
        """Yield the lanes of all loaded versions, each with the first deployment that it serves."""
        found: dict[Lane, str] = {}
        for (deployment, _), variant in snapshot.variants.items():
            found.setdefault(self._lanes.of(variant), deployment)
        for lane, deployment in found.items():
            yield deployment, lane

    def lane(self, call: Call) -> Lane:
        """Return the lane of a request."""
        return self._lanes.of(call.variant)

    def learn(self, call: Call, compute_ns: int) -> None:
        """Note what a call on the event loop took."""
        with contextlib.suppress(NotReady):  # let go of by a swap
            self._lanes.of(call.variant).learn(call.batch.rows, compute_ns / _NS_PER_S)

    def is_immediate(self, target: Target, rows: int) -> bool:
        """Say whether the event loop may run so many rows, whoever answers, by what calls have cost lately."""
        try:
            return all(self._lanes.of(variant).is_immediate(rows) for variant in target.answering)
        except NotReady:  # let go of by a swap: whoever waits for it is told
            return False

    def _around(self, call: Call) -> Call:
        """Send a request past a broken version: a challenger's to the champion, the champion's to the previous one."""
        if call.assignment.arm is Arm.PINNED:
            return call
        route = call.route
        champion = call.target.variant
        if call.variant.number != route.champion.version and not self._lanes.of(champion).is_broken:
            wanted = Assignment(route.champion, Arm.CHAMPION, 1.0, is_judged=False)
            return replace(call, variant=champion, batch=call.asked, assignment=wanted)
        previous = call.target.backups.previous
        if previous is None or self._lanes.of(previous.variant).is_broken:
            return call
        return instead(call, previous, call.prediction_id)

    def _leave(self, deployment: str) -> None:
        """Make room for another request."""
        self._in_flight[deployment] -= 1


def instead(call: Call, backup: Backup, prediction_id: str) -> Call:
    """Return the request as a backup answers it: on record as a fallback, in neither arm of a rollout."""
    return replace(
        call,
        variant=backup.variant,
        batch=call.asked if backup.projection is None else backup.projection.of(call.asked),
        assignment=Assignment(backup.wanted, Arm.FALLBACK, 1.0, is_judged=False),
        prediction_id=prediction_id,
        flags=call.flags | _FALLBACK,
        queue_ns=0,
    )
