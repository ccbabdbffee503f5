"""One route table with its loaded versions: replaced as a whole, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kilter.contracts.batch import Batch
from kilter.contracts.route import Route
from kilter.errors import SchemaMismatch
from kilter.policy.routing import Assignment, assign
from kilter.services.predictor._variant import Variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.route import RouteTable, RouteVariant
    from kilter.contracts.signature import Signature

__all__ = ["Projection", "Snapshot", "build", "variants_of"]


@dataclass(frozen=True, slots=True)
class Projection:
    """Which columns of the champion's batch another version takes, in its own order."""

    numeric: NDArray[np.intp]
    text: NDArray[np.intp]

    def of(self, batch: Batch) -> Batch:
        """Return the batch as the other version takes it."""
        numeric, text = np.asarray(batch.numeric), np.asarray(batch.text)
        return Batch(rows=batch.rows, numeric=np.ascontiguousarray(numeric[:, self.numeric]), text=text[:, self.text])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Routes by deployment, versions by deployment and number.

    ``projections`` are there only where columns differ, ``plain`` only for routes without a challenger:
    what every request of theirs is assigned.
    """

    generation: int = 0
    routes: Mapping[str, Route] = field(default_factory=dict)
    variants: Mapping[tuple[str, int], Variant] = field(default_factory=dict)
    projections: Mapping[tuple[str, int], Projection] = field(default_factory=dict)
    plain: Mapping[str, Assignment] = field(default_factory=dict)

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
    plain = {
        route.deployment: assign(route, "", table.written_at) for route in table.routes if route.challenger is None
    }
    return Snapshot(table.generation, routes, variants, projections, plain)


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
