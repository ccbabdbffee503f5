"""One route table with its loaded versions: replaced as a whole, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kilter.contracts.batch import Batch
from kilter.contracts.meters import Series
from kilter.contracts.prediction import Arm
from kilter.contracts.route import Route
from kilter.errors import SchemaMismatch
from kilter.policy.routing import Assignment, assign
from kilter.services.predictor._variant import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from kilter.contracts.route import RouteTable, RouteVariant
    from kilter.contracts.signature import Signature

__all__ = ["Projection", "Snapshot", "Target", "build", "variants_of"]


@dataclass(frozen=True, slots=True)
class Projection:
    """Which columns of the champion's batch another version takes, in its own order."""

    numeric: NDArray[np.intp]
    text: NDArray[np.intp]

    def of(self, batch: Batch) -> Batch:
        """Return the batch as the other version takes it."""
        numeric, text = np.asarray(batch.numeric), np.asarray(batch.text)
        return Batch(rows=batch.rows, numeric=np.ascontiguousarray(numeric[:, self.numeric]), text=text[:, self.text])


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Whom a request can ask: a deployment, or one of its versions by number.

    Whoever holds it can read and answer a request by one table, even if another comes into force
    meanwhile. ``variant`` is the version whose signature requests follow. ``assignment`` is what every
    request gets, None where that depends on its routing key. ``arms`` are the versions that may answer
    instead, with what they take of the batch (None: all, in the same order). ``codec_key`` names what a
    reader of requests depends on. ``series`` are the counters of what it answers, by version, arm and
    face, filled as they are needed.
    """

    route: Route
    variant: Variant
    generation: int
    assignment: Assignment | None
    arms: Mapping[int, tuple[Variant, Projection | None]]
    codec_key: tuple[str, int]
    series: dict[tuple[int, str, str], Series] = field(default_factory=dict)


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


def build(table: RouteTable, obtain: Callable[[RouteVariant], Variant], *, mark: int = 0) -> Snapshot:
    """Put a table and its versions together.

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
        for number, variant, assignment in _ways(route, table.written_at, variants):
            targets[route.deployment, number] = Target(
                route=route,
                variant=variant,
                generation=table.generation,
                assignment=assignment,
                arms=arms,
                codec_key=(variant.digest, route.max_rows),
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
            arms[beside.version] = (other, _projection(route.deployment, champion, other))
    return arms


def _ways(
    route: Route, now: datetime, variants: Mapping[tuple[str, int], Variant]
) -> Iterator[tuple[int | None, Variant, Assignment | None]]:
    """Yield the ways to ask a deployment: for itself, and for each version by number."""
    plain = assign(route, "", now) if route.challenger is None else None
    yield None, variants[route.deployment, route.champion.version], plain
    for wanted in variants_of(route):
        pinned = Assignment(wanted, Arm.PINNED, 1.0, is_judged=False)
        yield wanted.version, variants[route.deployment, wanted.version], pinned


def _projection(deployment: str, champion: Variant, other: Variant) -> Projection | None:
    """Map one version's columns to the champion's; None if they are the same."""
    own, theirs = champion.signature, other.signature
    if _typed(own) == _typed(theirs):
        return None
    missing = sorted(set(_typed(theirs)) - set(_typed(own)))
    if missing:
        shown = ", ".join(f"`{name}` ({kind})" for name, kind in missing[:5])
        message = (
            f"version {other.name} of `{deployment}` needs columns that version {champion.name} does not take: {shown}"
        )
        raise SchemaMismatch(
            message,
            hint='deploy it with `strategy = "blue-green"`, and send the new columns',
        )
    return Projection(
        numeric=np.array([own.numeric_names.index(name) for name in theirs.numeric_names], dtype=np.intp),
        text=np.array([own.text_names.index(name) for name in theirs.text_names], dtype=np.intp),
    )


def _typed(signature: Signature) -> tuple[tuple[str, str], ...]:
    """Return names and types of the columns, in order."""
    return tuple((column.name, column.type.value) for column in signature.columns)
