"""The route table in force with its loaded versions, and how the next one takes over."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from kilter.errors import JournalUnavailable, NotFound, NotReady, WorldMoved
from kilter.services.predictor._snapshot import Snapshot, Target, build, variants_of
from kilter.services.predictor._variant import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilter.contracts.blob import BlobStore
    from kilter.contracts.format import ModelFormat
    from kilter.contracts.ids import Digest
    from kilter.contracts.journal import Journal
    from kilter.contracts.route import Route, RouteTable, RouteVariant
    from kilter.services.predictor._lanes import Lanes
    from kilter.services.predictor._variant import Variant

__all__ = ["LoadedRoutes"]


class LoadedRoutes:
    """Versions in memory, by the routes that want them.

    Guarantees: ``prepare`` may run on another thread, one call at a time and not during ``commit``;
    readers see the old table or the new one. A version that is loaded is not loaded again.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        blobs: BlobStore,
        materialise: Callable[[Digest, str], str],
        formats: Callable[[str], ModelFormat],
        lanes: Lanes,
        page: Sequence[int] = (0,),
    ) -> None:
        self._lanes = lanes
        self._page = page
        self._mark = page[0]
        self._journal = journal
        self._blobs = blobs
        self._materialise = materialise
        self._formats = formats
        self._snapshot = Snapshot()
        self._prepared: Snapshot | None = None
        self._described: set[str] = set()

    @property
    def generation(self) -> int:
        """Generation of the table in force; 0 before the first."""
        return self._snapshot.generation

    @property
    def prepared(self) -> int:
        """Generation of the table that is prepared; 0 if none waits."""
        return 0 if self._prepared is None else self._prepared.generation

    @property
    def withheld(self) -> frozenset[str]:
        """Names of the deployments that do not answer by order of this node."""
        return frozenset(deployment for deployment, _ in self._snapshot.withheld)

    def withhold(self, deployments: frozenset[str]) -> None:
        """Keep just these deployments from answering, until told otherwise or the next table is in force.

        Their versions stay loaded. Names that are not served are passed over.
        """
        if deployments != self.withheld:
            self._snapshot = self._snapshot.without(deployments)

    def deployments(self) -> tuple[str, ...]:
        """Return the names of the deployments served, in order."""
        return tuple(sorted(self._snapshot.routes))

    def route(self, deployment: str) -> Route:
        """Return the route of a deployment.

        Raises
        ------
        NotFound
            If no such deployment is served.
        NotReady
            If no table is in force yet.
        """
        route = self._snapshot.routes.get(deployment)
        if route is not None:
            return route
        if self.generation == 0:
            message = "no route table is in force yet"
            raise NotReady(message, hint="deploy a model with `kilter apply`, or wait until it is loaded")
        names = ", ".join(f"`{name}`" for name in self.deployments()[:10])
        message = f"there is no deployment `{deployment[:80]}`"
        raise NotFound(message, hint=f"use one of {names}" if names else "deploy a model with `kilter apply`")

    def target(self, deployment: str, version: int | None = None) -> Target:
        """Return whom a request asks: the deployment, or one of its versions by number.

        Raises
        ------
        NotFound
            If there is no such deployment, or the version is not loaded.
        NotReady
            If no table is in force yet, or the deployment is withheld.
        """
        if self._page[0] != self._mark:
            self._flip()
        target = self._snapshot.targets.get((deployment, version))
        if target is None:
            self.route(deployment)
            if (deployment, version) in self._snapshot.withheld:
                message = f"`{deployment}` is unloaded on this node"
                raise NotReady(message, hint="load it with `POST /v2/repository/models/NAME/load`")
            loaded = ", ".join(f"`{known}`" for known in self.versions(deployment))
            message = f"version {version} of `{deployment}` is not loaded"
            raise NotFound(message, hint=f"use one of {loaded}, or leave the version out")
        return target

    def variant(self, deployment: str, version: int | None = None) -> Variant:
        """Return the loaded version by number, or the champion, whose signature requests follow.

        Raises
        ------
        NotFound
            If there is no such deployment, or the version is not loaded.
        NotReady
            If no table is in force yet.
        """
        return self.target(deployment, version).variant

    def versions(self, deployment: str) -> tuple[int, ...]:
        """Return the numbers of a deployment's loaded versions, in order.

        Raises
        ------
        NotFound
            If there is no such deployment.
        NotReady
            If no table is in force yet.
        """
        return tuple(sorted({variant.version for variant in variants_of(self.route(deployment))}))

    def prepare(self, table: RouteTable, *, mark: int = 0) -> None:
        """Load what a table needs and what is not loaded yet, replay golden rows and warm up.

        Parameters
        ----------
        table : RouteTable
            Of a higher generation than the one in force.
        mark : int
            What the page will show when this very table comes into force.

        Raises
        ------
        WorldMoved
            If the table is not newer than the one in force.
        NotFound
            If a manifest or file is missing.
        ChecksumMismatch
            If stored bytes are damaged, or a version no longer repeats its golden rows.
        FormatError
            If a model cannot be loaded.
        ModelFailed
            If a model fails while it is warmed up.
        SchemaMismatch
            If a challenger or shadow needs a column that the champion does not take.
        """
        current, waiting = self._snapshot, self._prepared
        if table.generation <= current.generation:
            message = f"generation {table.generation} is not newer than {current.generation}, which is in force"
            raise WorldMoved(message, hint="propose the next generation")
        known = current.by_digest() | ({} if waiting is None else waiting.by_digest())
        before = set(known)

        def obtain(wanted: RouteVariant) -> Variant:
            loaded = known.get(wanted.digest)
            if loaded is None:
                loaded = load(wanted, blobs=self._blobs, materialise=self._materialise, formats=self._formats)
                known[wanted.digest] = loaded
                self._lanes.obtain(loaded)
            if loaded.number != wanted.version:  # the same bytes under another number: one model, two names
                loaded = replace(loaded, number=wanted.version, name=str(wanted.version))
            return loaded

        try:
            built = build(table, obtain, immediate_rows=self._immediate_rows, mark=mark)
        except BaseException:
            for digest in known.keys() - before:
                self._lanes.let_go(known[digest])
            raise
        self._prepared = built
        for digest in known.keys() - built.by_digest().keys() - current.by_digest().keys():
            self._lanes.let_go(known[digest])

    def commit(self, generation: int) -> None:
        """Put the prepared table in force; versions that no route keeps are let go.

        Raises
        ------
        WorldMoved
            If this generation is not the one prepared.
        JournalUnavailable
            If the log cannot take the names of the new columns; the old table stays.
        """
        prepared = self._prepared
        if prepared is None or prepared.generation != generation:
            message = f"generation {generation} is not prepared"
            raise WorldMoved(message, hint="prepare it first")
        old, new = self._snapshot.by_digest(), prepared.by_digest()
        for digest in sorted(new.keys() - self._described):
            self._journal.describe(new[digest].schema)
            self._described.add(digest)
        self._snapshot, self._prepared = prepared, None
        for digest in old.keys() - new.keys():
            self._lanes.let_go(old[digest])
        for route in prepared.routes.values():
            if why := prepared.targets[route.deployment, None].backups.why:
                self._journal.event("fallback", why, deployment=route.deployment)

    def _immediate_rows(self, variant: Variant) -> int:
        """Return the most rows of a version that the event loop may run itself."""
        return self._lanes.of(variant).immediate_rows

    def _flip(self) -> None:
        """Follow the page: the table that it marks comes into force with this very request."""
        prepared, self._mark = self._prepared, self._page[0]
        if prepared is not None and prepared.mark == self._mark:
            with contextlib.suppress(JournalUnavailable):  # the old table stays; who follows the files tries again
                self.commit(prepared.generation)
