"""One route table with its loaded versions: replaced as a whole, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kilter.contracts.meters import Series
from kilter.contracts.prediction import Arm
from kilter.contracts.route import Route
from kilter.policy.routing import Assignment, assign
from kilter.services.predictor._backup import Backups, backups_of
from kilter.services.predictor._projection import Projection, projection
from kilter.services.predictor._variant import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from kilter.contracts.route import RouteTable, RouteVariant

__all__ = ["Snapshot", "Target", "build", "variants_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Whom a request can ask: a deployment, or one of its versions by number.

    Whoever holds it can read and answer a request by one table, even if another comes into force
    meanwhile. ``variant`` is the version whose signature requests follow. ``assignment`` is what every
    request gets, None where that depends on its routing key. ``arms`` are the versions that may answer
    instead, with what they take of the batch (None: all, in the same order). ``codec_key`` names what a
    reader of requests depends on. ``series`` are the counters of what it answers, by version, arm and
    face, filled as they are needed. Requests of up to ``immediate_rows`` may be answered by the event loop
    itself, as it was known when the table was made; ``answering`` are the versions that may be chosen, and
    ``backups`` answer instead of versions that cannot.
    """

    route: Route
    variant: Variant
    generation: int
    assignment: Assignment | None
    arms: Mapping[int, tuple[Variant, Projection | None]]
    codec_key: tuple[str, int]
    series: dict[tuple[int, str, str], Series] = field(default_factory=dict)
    immediate_rows: int = 0
    answering: tuple[Variant, ...] = ()
    backups: Backups = field(default_factory=Backups)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Routes by deployment, versions and targets by deployment and number.

    The target under None is the deployment itself. ``mark`` tells this table from any other. Targets of
    deployments that are not to answer now stand under ``withheld`` instead.
    """

    generation: int = 0
    mark: int = 0
    routes: Mapping[str, Route] = field(default_factory=dict)
    variants: Mapping[tuple[str, int], Variant] = field(default_factory=dict)
    targets: Mapping[tuple[str, int | None], Target] = field(default_factory=dict)
    withheld: Mapping[tuple[str, int | None], Target] = field(default_factory=dict)

    def without(self, deployments: frozenset[str]) -> Snapshot:
        """Return the same table in which just these deployments do not answer."""
        every = {**self.targets, **self.withheld}
        return replace(
            self,
            targets={key: target for key, target in every.items() if key[0] not in deployments},
            withheld={key: target for key, target in every.items() if key[0] in deployments},
        )

    def by_digest(self) -> dict[str, Variant]:
        """Return the loaded versions by digest."""
        return {variant.digest: variant for variant in self.variants.values()}


def variants_of(route: Route) -> tuple[RouteVariant, ...]:
    """Return all versions that a route keeps loaded."""
    every = (route.champion, route.challenger, route.shadow, route.previous)
    return tuple(variant for variant in every if variant is not None)


def build(
    table: RouteTable,
    obtain: Callable[[RouteVariant], Variant],
    *,
    immediate_rows: Callable[[Variant], int],
    mark: int = 0,
) -> Snapshot:
    """Put a table and its versions together.

    ``immediate_rows`` tells how many rows of a version the event loop may run itself.

    Raises
    ------
    SchemaMismatch
        If a challenger or shadow needs a column that the champion does not take.
    """
    variants = {
        (route.deployment, wanted.version): obtain(wanted) for route in table.routes for wanted in variants_of(route)
    }
    targets: dict[tuple[str, int | None], Target] = {}
    for route in table.routes:
        arms = _arms(route, variants)
        backups = backups_of(route, variants)
        for number, variant, assignment in _ways(route, table.written_at, variants):
            answering = _answering(route, variant, assignment, arms)
            targets[route.deployment, number] = Target(
                route=route,
                variant=variant,
                generation=table.generation,
                assignment=assignment,
                arms=arms,
                codec_key=(variant.digest, route.max_rows),
                immediate_rows=0 if route.durable == "disk" else min(immediate_rows(each) for each in answering),
                answering=answering,
                backups=backups,
            )
    routes = {route.deployment: route for route in table.routes}
    return Snapshot(table.generation, mark, routes, variants, targets)


def _arms(route: Route, variants: Mapping[tuple[str, int], Variant]) -> dict[int, tuple[Variant, Projection | None]]:
    """Return the versions that may answer what was read by the champion's signature."""
    champion = variants[route.deployment, route.champion.version]
    arms: dict[int, tuple[Variant, Projection | None]] = {}
    for beside in (route.challenger, route.shadow):
        if beside is not None:
            other = variants[route.deployment, beside.version]
            arms[beside.version] = (other, projection(route.deployment, champion, other))
    return arms


def _answering(
    route: Route,
    variant: Variant,
    assignment: Assignment | None,
    arms: Mapping[int, tuple[Variant, Projection | None]],
) -> tuple[Variant, ...]:
    """Return the versions of which one will be chosen."""
    if assignment is not None or route.challenger is None:
        return (variant,)
    return variant, arms[route.challenger.version][0]


def _ways(
    route: Route, now: datetime, variants: Mapping[tuple[str, int], Variant]
) -> Iterator[tuple[int | None, Variant, Assignment | None]]:
    """Yield the ways to ask a deployment: for itself, and for each version by number."""
    plain = assign(route, "", now) if route.challenger is None else None
    yield None, variants[route.deployment, route.champion.version], plain
    for wanted in variants_of(route):
        pinned = Assignment(wanted, Arm.PINNED, 1.0, is_judged=False)
        yield wanted.version, variants[route.deployment, wanted.version], pinned
