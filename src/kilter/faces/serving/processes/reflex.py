"""The supervisor's reflex: a plainly broken candidate loses its traffic, whether or not anybody judges it."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.contracts.meters import ANSWERED
from kilter.contracts.prediction import Arm
from kilter.errors import WorldMoved
from kilter.policy.reflex import WINDOW, ArmCounts, breach, recent
from kilter.policy.routing import rolled_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from kilter.contracts.meters import Total
    from kilter.contracts.route import Route, RouteStore, RouteTable

__all__ = ["Reflex"]

_log = logging.getLogger(__name__)

_EVERY_S = 1.0
_HISTORY = 600
_ORIGIN = "reflex"
_REQUESTS, _SECONDS = "kilter_requests_total", "kilter_request_seconds"


class Reflex:
    """Looks once a second at the counters of every deployment with a candidate in traffic.

    Guarantees: needs neither control plane nor database; takes one step back by a table of its own,
    which the control plane adopts as a rollback with a hold; never touches a champion.

    Parameters
    ----------
    routes : RouteStore
        The table in force, and where the next one is proposed.
    totals : callable
        Counters over all serving processes, those that are gone included.
    now : callable
        The time for the table.
    """

    def __init__(
        self, *, routes: RouteStore, totals: Callable[[], Iterable[Total]], now: Callable[[], datetime]
    ) -> None:
        self._routes = routes
        self._totals = totals
        self._now = now
        self._history: dict[tuple[str, str], deque[tuple[ArmCounts, ArmCounts]]] = {}
        self._next_s = 0.0

    def step(self) -> None:
        """Look, at most once a second.

        Raises
        ------
        StoreError
            If counters or route files cannot be read or written.
        """
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _EVERY_S
        live = self._routes.live()
        tried = () if live is None else tuple(route for route in live.routes if route.challenger and route.weight)
        self._history = {_trial(route): self._history.get(_trial(route), deque(maxlen=_HISTORY)) for route in tried}
        if live is None or not tried:
            return
        totals = tuple(self._totals())
        reasons = {route.deployment: self._reason(route, totals) for route in tried}
        broken = next((route for route in tried if reasons[route.deployment]), None)
        if broken is not None:  # one at a time: there is one proposal
            self._step_back(live, broken, str(reasons[broken.deployment]))

    def _reason(self, route: Route, totals: Iterable[Total]) -> str | None:
        """Note the counters of now; return why the candidate must go, or None."""
        history = self._history[_trial(route)]
        history.append(_counts(totals, route))
        return breach(*recent(history, WINDOW))

    def _step_back(self, live: RouteTable, route: Route, reason: str) -> None:
        """Propose the table without the candidate; an open proposal goes first, and the next look tries again."""
        version = 0 if route.challenger is None else route.challenger.version
        sentence = f"version {version} of {route.deployment} is broken: {reason}"
        table = replace(rolled_back(live, route.deployment, self._now(), sentence), origin=_ORIGIN)
        try:
            self._routes.propose(table)
        except WorldMoved as error:
            _log.warning("%s; waiting: %s", sentence, error.message)
        else:
            _log.warning("%s; its traffic goes back", sentence)


def _trial(route: Route) -> tuple[str, str]:
    """Return what names one rollout of a deployment."""
    return route.deployment, route.rollout_id or str(route.challenger)


def _counts(totals: Iterable[Total], route: Route) -> tuple[ArmCounts, ArmCounts]:
    """Return what candidate and champion came to so far."""
    candidate = (str(route.challenger.version) if route.challenger else "", {Arm.CHALLENGER})
    champion = (str(route.champion.version), {Arm.CHAMPION, Arm.CONTROL})
    return _sum(totals, route.deployment, *candidate), _sum(totals, route.deployment, *champion)


def _sum(totals: Iterable[Total], deployment: str, version: str, arms: set[Arm]) -> ArmCounts:
    """Sum one version's counters over faces and arms."""
    failures, buckets = 0, ArmCounts().buckets
    for total in totals:
        if total.labels[:2] != (deployment, version) or total.labels[2:3] == () or total.labels[2] not in arms:
            continue
        if total.name == _REQUESTS and total.labels[4] != ANSWERED:
            failures += total.value
        elif total.name == _SECONDS:
            buckets = tuple(one + other for one, other in zip(buckets, total.buckets, strict=True))
    return ArmCounts(failures=failures, buckets=buckets)
