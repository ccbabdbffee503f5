"""Publishes route tables: what metadata says becomes what is served."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from kilter.contracts.deployment import Deployment
from kilter.contracts.rollout import Publication, Rollout, RolloutState
from kilter.contracts.route import RouteVariant
from kilter.errors import NotFound, WorldMoved
from kilter.policy.routing import is_same, route_of, with_route

if TYPE_CHECKING:
    from datetime import datetime

    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.route import PlaneBoard, Route, RouteStore, RouteTable
    from kilter.contracts.scoring import VersionBook

__all__ = ["Publisher"]

_JUDGED_FOR_S = 1_800.0
_RENEWED = 0.1
_SUPERSEDED = "superseded"


class Publisher:
    """Implements ``RoutePublisher``.

    Guarantees: the table is derived from metadata alone, so a repeated call, also after a crash between
    any two steps, ends in the same table. Without a running supervisor a proposal is in force at once;
    with one, it waits until every serving process has prepared it. A rollback is offered until it is in
    force and pushes a proposal that delays it aside; any other refused table is not offered again for
    the same step.
    """

    def __init__(
        self, *, metadata: MetadataStore, routes: RouteStore, board: PlaneBoard, versions: VersionBook
    ) -> None:
        self._metadata = metadata
        self._routes = routes
        self._board = board
        self._versions = versions

    def publish(self, deployment: str, rollout: Rollout | None, now: datetime) -> Publication:
        """Offer the table that follows from a deployment and its open rollout, unless it is in force.

        Parameters
        ----------
        deployment : str
            Its name.
        rollout : Rollout or None
            Its open (or just finished) rollout; what is stored of it counts.
        now : datetime
            Written into the table; a challenger is judged for 30 minutes from here, or three ticks.

        Returns
        -------
        Publication
            In force, refused (with the reason), or neither: waiting.

        Raises
        ------
        NotFound
            If there is no such deployment.
        StoreError
            If metadata or the route folder cannot be reached.
        """
        is_alone = self._board.supervisor_pid() is None
        if is_alone:
            self._finish()
        live = self._routes.live()  # before metadata: what follows from older metadata is refused as of a moved world
        state, rollout = self._metadata.read(lambda tx: _wanted(tx, deployment, rollout))
        period = timedelta(seconds=max(_JUDGED_FOR_S, 3.0 * state.spec.monitor.every_s))
        wanted = route_of(state, rollout, self._variants(state, rollout), judged_until=now + period)
        if wanted is None:
            return Publication(is_in_force=True)
        is_busy = self._clear(wanted, rollout)
        route = None if live is None else live.route(state.id)
        is_done = is_same(route, wanted)
        if is_done and not _needs_renewal(route, wanted, period):
            return self._in_force(state, live)
        refusal = "" if is_done or is_busy else self._refusal(rollout, live)
        if is_busy or refusal:
            return Publication(is_in_force=is_done, refusal=refusal)
        reason = f"{state.id}: {'as desired' if rollout is None else rollout.reason or rollout.state}"
        table = with_route(live, wanted, now, reason=reason)
        if not self._offer(table):
            return Publication(is_in_force=is_done)
        if not is_alone:
            return Publication(is_in_force=is_done, generation=table.generation)
        self._settle(table.generation, None)
        return replace(self._in_force(state, self._routes.live()), generation=table.generation)

    def _finish(self) -> None:
        """Put an open proposal in force where nobody has to prepare it."""
        table = self._routes.proposed()
        if table is not None:
            self._settle(table.generation, None)

    def _clear(self, wanted: Route, rollout: Rollout | None) -> bool:
        """Push an open proposal aside if it delays a rollback; say whether one stays."""
        table = self._routes.proposed()
        if table is not None and _is_in_the_way(table, wanted, rollout):
            self._settle(table.generation, f"{_SUPERSEDED} by a rollback")
        return table is not None and self._routes.proposed() is not None

    def _offer(self, table: RouteTable) -> bool:
        """Propose a table unless the world moved meanwhile."""
        try:
            self._routes.propose(table)
        except WorldMoved:
            return False
        return True

    def _settle(self, generation: int, refused: str | None) -> None:
        """Settle a proposal unless somebody else just did."""
        try:
            self._routes.settle(generation, refused=refused)
        except WorldMoved:
            return

    def _refusal(self, rollout: Rollout | None, live: RouteTable | None) -> str:
        """Return why the last table offered for this step was refused, or nothing."""
        refusal = self._routes.refusal()
        if refusal is None or rollout is None or rollout.state is RolloutState.ROLLING_BACK:
            return ""
        generation, reason = refusal
        is_ours = generation == rollout.generation == (0 if live is None else live.generation) + 1
        return reason if is_ours and not reason.startswith(_SUPERSEDED) else ""

    def _in_force(self, state: Deployment, live: RouteTable | None) -> Publication:
        """Remember the generation that is known to be in force."""
        generation = 0 if live is None else live.generation
        if generation > state.generation:

            def write(tx: WriteTx) -> None:
                seen = tx.get(Deployment, state.id)
                if seen is not None and seen.generation < generation:
                    tx.replace(replace(seen, generation=generation, version=seen.version + 1))

            self._metadata.write(write)
        return Publication(is_in_force=True)

    def _variants(self, state: Deployment, rollout: Rollout | None) -> dict[int, RouteVariant]:
        """Return the variants that a route can name."""
        numbers = {state.champion, state.previous, None if rollout is None else rollout.candidate} - {None}
        name = state.spec.model.name
        return {
            number: RouteVariant(version=number, digest=self._versions.resolve(f"{name}@{number}").digest)
            for number in numbers
            if number is not None
        }


def _wanted(tx: ReadTx, deployment: str, rollout: Rollout | None) -> tuple[Deployment, Rollout | None]:
    """Return what metadata says now of a deployment and its rollout, in one view."""
    state = tx.get(Deployment, deployment)
    if state is None:
        message = f"no deployment `{deployment}`"
        raise NotFound(message, hint="see the deployments with `kilter status`")
    if rollout is not None:
        return state, tx.get(Rollout, rollout.id) or rollout
    found = tx.list(Rollout, where={"deployment": deployment, "finished_at": None}, limit=1)
    return state, found[0] if found else None


def _needs_renewal(live: Route | None, wanted: Route, period: timedelta) -> bool:
    """Say whether the challenger's time should be prolonged."""
    if live is None or live.judged_until is None or wanted.judged_until is None:
        return live is not None and live.judged_until != wanted.judged_until
    return wanted.judged_until - live.judged_until >= period * _RENEWED


def _is_in_the_way(table: RouteTable, wanted: Route, rollout: Rollout | None) -> bool:
    """Say whether an open proposal delays a rollback of this deployment."""
    is_urgent = rollout is None or rollout.state is RolloutState.ROLLING_BACK
    return is_urgent and not is_same(table.route(wanted.deployment), wanted)
