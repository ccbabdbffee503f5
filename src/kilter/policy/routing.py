"""Which version answers a request: sticky assignment, and the route tables that say so.

u = BLAKE2b-64(key = salt, routing key) / 2^64. The challenger takes u < w, the concurrent control arm
of the champion u >= 1 - min(w, 1 - w), the rest is plain champion. Growing w only adds keys to both arms.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from kilter.contracts.prediction import Arm
from kilter.contracts.rollout import RolloutState
from kilter.contracts.route import Route, RouteTable, RouteVariant
from kilter.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from kilter.contracts.deployment import Deployment
    from kilter.contracts.rollout import Rollout

__all__ = [
    "Assignment",
    "assign",
    "hash64",
    "is_same",
    "is_shadowed",
    "rolled_back",
    "route_of",
    "with_route",
]

SHADOW_RATE = 1_000
_WHOLE = 10_000
_BITS = 64
_LONGEST_KEY = 64


class Assignment(NamedTuple):
    """Who answers, in which arm, with what probability, and whether somebody judges the challenger."""

    variant: RouteVariant
    arm: Arm
    propensity: float
    is_judged: bool = True


def hash64(salt: str, key: str) -> int:
    """Return the keyed 64-bit hash of a routing key; a salt counts up to its 64th byte."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()[:_LONGEST_KEY]).digest()
    return int.from_bytes(digest, "big")


def assign(route: Route, key: str, now: datetime) -> Assignment:
    """Choose who answers a request.

    Parameters
    ----------
    route : Route
        The deployment's route.
    key : str
        Routing key; equal keys get equal arms for the whole rollout.
    now : datetime
        Past ``route.judged_until`` nobody judges the challenger, so the champion takes its share.

    Returns
    -------
    Assignment
        Integer arithmetic on the hash: the shares are exact.

    Raises
    ------
    Nothing
    """
    weight = route.weight
    challenger = route.challenger
    if challenger is None or weight == 0:
        return Assignment(route.champion, Arm.CHAMPION, 1.0)
    if route.judged_until is not None and now > route.judged_until:
        return Assignment(route.champion, Arm.CHAMPION, 1.0, is_judged=False)
    scaled = hash64(route.salt, key) * _WHOLE
    if scaled < weight << _BITS:
        return Assignment(challenger, Arm.CHALLENGER, weight / _WHOLE)
    control = min(weight, _WHOLE - weight)
    if scaled >= (_WHOLE - control) << _BITS:
        return Assignment(route.champion, Arm.CONTROL, control / _WHOLE)
    return Assignment(route.champion, Arm.CHAMPION, 1.0 - (weight + control) / _WHOLE)


def is_shadowed(route: Route, key: str) -> bool:
    """Say whether the shadow also answers this request; its salt is not that of the arms."""
    if route.shadow is None or route.shadow_rate == 0:
        return False
    return hash64("shadow/" + route.salt, key) * _WHOLE < route.shadow_rate << _BITS


def rolled_back(table: RouteTable, deployment: str, now: datetime, reason: str) -> RouteTable:
    """Take one step back using nothing but the live table.

    Parameters
    ----------
    table : RouteTable
        The table in force.
    deployment : str
        Its open candidate loses all traffic; without one, the previous champion returns.
    now : datetime
        When this is decided.
    reason : str
        The sentence that the control plane will record when it takes the table over.

    Returns
    -------
    RouteTable
        Generation + 1, origin ``rollback``.

    Raises
    ------
    NotFound
        If the table has no such deployment.
    Conflict
        If there is no candidate and no previous champion.
    """
    route = table.route(deployment)
    if route is None:
        known = ", ".join(route.deployment for route in table.routes) or "none"
        message = f"no deployment `{deployment}` is being served"
        raise NotFound(message, why=f"served: {known}", hint="see them with `kilter status`")
    if route.challenger is not None or route.shadow is not None:
        back = _plain(route, route.champion, route.previous)
    elif route.previous is not None:
        back = _plain(route, route.previous, None)
    else:
        message = f"`{deployment}` has nothing to roll back to"
        raise Conflict(
            message,
            why="no candidate is on trial and no previous champion is loaded",
            hint=f"see what is live with `kilter status {deployment}`",
        )
    return replace(with_route(table, back, now, reason=reason), origin="rollback")


def route_of(
    deployment: Deployment,
    rollout: Rollout | None,
    variants: Mapping[int, RouteVariant],
    *,
    judged_until: datetime,
) -> Route | None:
    """Return the route that a deployment should have now.

    Parameters
    ----------
    deployment : Deployment
        Live state and settings.
    rollout : Rollout or None
        Its open rollout.
    variants : mapping of version number to RouteVariant
        At least champion, previous and candidate.
    judged_until : datetime
        Until when a challenger with traffic is judged; others have no such limit.

    Returns
    -------
    Route or None
        None while there is no champion.

    Raises
    ------
    KeyError
        If a variant is missing.
    """
    if deployment.champion is None:
        return None
    spec = deployment.spec
    route = Route(
        deployment=deployment.id,
        champion=variants[deployment.champion],
        previous=None if deployment.previous is None else variants[deployment.previous],
        key=spec.rollout.key or spec.data.id,
        durable=spec.log.durable,
        on_full=spec.log.on_full,
        deadline_ms=spec.deployment.deadline_ms,
        max_rows=spec.deployment.max_batch_rows,
        redact=spec.data.pii,
        max_in_flight=spec.deployment.max_in_flight,
        on_overload=spec.deployment.on_overload,
        on_error=spec.deployment.on_error,
        fallback=spec.deployment.fallback,
    )
    if rollout is None or rollout.state in _WITHOUT_TRAFFIC:
        return route
    candidate = variants[rollout.candidate]
    if rollout.state is RolloutState.PROMOTING:
        return replace(route, champion=candidate, previous=route.champion)
    tried = replace(route, rollout_id=rollout.id, salt=rollout.salt, key=rollout.spec.key or route.key)
    state = rollout.next_state if rollout.state is RolloutState.HELD else rollout.state
    if state == RolloutState.SHADOW:
        return replace(tried, shadow=candidate, shadow_rate=SHADOW_RATE)
    limit = judged_until if rollout.weight else None
    return replace(tried, challenger=candidate, weight=rollout.weight, judged_until=limit)


def with_route(table: RouteTable | None, route: Route, now: datetime, *, reason: str) -> RouteTable:
    """Return the next table: one route added or replaced, all others as they are."""
    routes = () if table is None else tuple(old for old in table.routes if old.deployment != route.deployment)
    return RouteTable(
        generation=1 if table is None else table.generation + 1,
        written_at=now,
        routes=tuple(sorted((*routes, route), key=lambda kept: kept.deployment)),
        reason=reason,
    )


def is_same(live: Route | None, wanted: Route) -> bool:
    """Say whether two routes serve alike; how long a challenger is judged does not count."""
    return live is not None and replace(live, judged_until=None) == replace(wanted, judged_until=None)


_WITHOUT_TRAFFIC = (
    RolloutState.PLANNED,
    RolloutState.ROLLING_BACK,
    RolloutState.DONE,
    RolloutState.ROLLED_BACK,
    RolloutState.REJECTED,
)


def _plain(route: Route, champion: RouteVariant, previous: RouteVariant | None) -> Route:
    """Return the route with no candidate of any kind."""
    return replace(
        route,
        champion=champion,
        previous=previous,
        challenger=None,
        weight=0,
        shadow=None,
        shadow_rate=0,
        rollout_id="",
        salt="",
        judged_until=None,
    )
