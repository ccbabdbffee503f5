"""One route table with its loaded versions: replaced as a whole, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kilter.contracts.batch import Batch
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

    ``variant`` is the version whose signature requests follow. ``assignment`` is what every request
    gets, None where that depends on its routing key. ``codec_key`` names what a reader of requests
    depends on.
    """

    route: Route
    variant: Variant
    generation: int
    assignment: Assignment | None
    codec_key: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Routes by deployment, versions and targets by deployment and number.

    The target under None is the deployment itself. ``projections`` are there only where columns differ.
    """

    generation: int = 0
    routes: Mapping[str, Route] = field(default_factory=dict)
    variants: Mapping[tuple[str, int], Variant] = field(default_factory=dict)
    projections: Mapping[tuple[str, int], Projection] = field(default_factory=dict)
    targets: Mapping[tuple[str, int | None], Target] = field(default_factory=dict)

    def by_digest(self) -> dict[str, Variant]:
        """Return the loaded versions by digest."""
        return {variant.digest: variant for variant in self.variants.values()}


def variants_of(route: Route) -> tuple[RouteVariant, ...]:
    """Return all versions that a route keeps loaded."""
    every = (route.champion, route.challenger, route.shadow, route.previous)
    return tuple(variant for variant in every if variant is not None)


def build(table: RouteTable, obtain: Callable[[RouteVariant], Variant]) -> Snapshot:
    """Put a table and its versions together.

    Raises
    ------
    SchemaMismatch
        If a challenger or shadow needs a column that the champion does not take.
    """
    variants: dict[tuple[str, int], Variant] = {}
    projections: dict[tuple[str, int], Projection] = {}
    for route in table.routes:
        for wanted in variants_of(route):
            variants[route.deployment, wanted.version] = obtain(wanted)
        champion = variants[route.deployment, route.champion.version]
        for beside in (route.challenger, route.shadow):
            if beside is None:
                continue
            other = variants[route.deployment, beside.version]
            projection = _projection(route.deployment, champion, other)
            if projection is not None:
                projections[route.deployment, beside.version] = projection
    routes = {route.deployment: route for route in table.routes}
    targets = {
        (route.deployment, number): Target(
            route=route,
            variant=variant,
            generation=table.generation,
            assignment=assignment,
            codec_key=(variant.digest, route.max_rows),
        )
        for route in table.routes
        for number, variant, assignment in _ways(route, table.written_at, variants)
    }
    return Snapshot(table.generation, routes, variants, projections, targets)


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
