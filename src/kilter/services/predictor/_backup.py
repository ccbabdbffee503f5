"""Who answers instead of a version that cannot: the fallback that a deployment chose, and the previous champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilter.contracts.route import RouteVariant
from kilter.errors import KilterError, NotFound
from kilter.policy.fallback import Fallback, constant_row, parsed
from kilter.services.predictor._projection import Projection, projection
from kilter.services.predictor._variant import Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.route import Route
    from kilter.measures.rows import FloatArray

__all__ = ["Backup", "Backups", "backups_of"]


@dataclass(frozen=True, slots=True)
class Backup:
    """A version that can answer what the champion was asked, or a constant in its place.

    ``projection`` is what the version takes of the batch (None: all, in the same order); ``row`` is the constant.
    """

    wanted: RouteVariant
    variant: Variant
    projection: Projection | None = None
    row: tuple[float, ...] | None = None

    def constant(self, rows: int) -> FloatArray | None:
        """Return the constant for so many rows; None where a version answers."""
        if self.row is None:
            return None
        values = np.array(self.row, dtype=np.float64)
        return np.tile(values, (rows, 1)) if self.variant.signature.classes else np.tile(values, rows)


@dataclass(frozen=True, slots=True)
class Backups:
    """Who answers instead: ``chosen`` by the deployment, ``previous`` for a broken champion; ``why`` not."""

    chosen: Backup | None = None
    previous: Backup | None = None
    why: str = ""


def backups_of(route: Route, variants: Mapping[tuple[str, int], Variant]) -> Backups:
    """Find out who can answer instead of a deployment's versions.

    A fallback that cannot be used is no reason to refuse a route table: it may be a step back that helps others.
    """
    previous, chosen, why = None, None, ""
    if route.previous is not None:
        place = (route.deployment, route.previous.version)
        try:
            previous = _version(route, route.previous, variants[place], variants)
        except KilterError as error:
            why = error.message
    try:
        chosen = _chosen(route, variants, previous)
    except KilterError as error:
        why = error.message
    return Backups(chosen, previous, why)


def _chosen(route: Route, variants: Mapping[tuple[str, int], Variant], previous: Backup | None) -> Backup | None:
    """Return the fallback that the route names, None where there is none now.

    Raises
    ------
    KilterError
        If it cannot be used.
    """
    wanted = parsed(route.fallback)
    if wanted is None or wanted == Fallback():
        return None if wanted is None else previous
    champion = variants[route.deployment, route.champion.version]
    if wanted.constant:
        return Backup(route.champion, champion, row=constant_row(champion.signature, wanted.constant))
    found = variants.get((wanted.deployment, wanted.version))
    if found is None:
        message = f"the fallback `{route.fallback}` is not loaded: no route needs it"
        raise NotFound(message, hint="name a version that is live, or its previous one")
    return _version(route, RouteVariant(version=found.number, digest=found.digest), found, variants)


def _version(
    route: Route, wanted: RouteVariant, variant: Variant, variants: Mapping[tuple[str, int], Variant]
) -> Backup:
    """Return a version as backup.

    Raises
    ------
    SchemaMismatch
        If it needs columns that the champion does not take.
    """
    champion = variants[route.deployment, route.champion.version]
    return Backup(wanted, variant, projection(route.deployment, champion, variant))
