"""When a proposed route table comes into force: all serving processes have it, or it is dropped."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from kilter.errors import StoreError
from kilter.faces.serving.processes.mark import fingerprint, mark_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilter.contracts.route import AcceptorStatus, RouteTable
    from kilter.plane import PlaneParts

__all__ = ["Settlement"]

_log = logging.getLogger(__name__)

_DEATHS_TO_REFUSE = 2


class Settlement:
    """Watches one proposal at a time.

    Guarantees: a table is put in force only when every running serving process has said that it has
    loaded exactly this table; otherwise it is dropped with the reason.

    Parameters
    ----------
    parts : PlaneParts
        Route tables and board.
    """

    def __init__(self, parts: PlaneParts) -> None:
        self._routes = parts.routes
        self._board = parts.board
        self._flip = parts.flip
        self._timeout_s = parts.prepare_timeout_s
        self._token: object = None
        self._live: RouteTable | None = None
        self._is_shown = True
        self._proposal: RouteTable | None = None
        self._mark = ""
        self._since = 0.0
        self._deaths = 0
        self._ready: set[int] = set()

    def begin(self) -> None:
        """Show the table in force to processes that are about to start.

        Tables that are damaged beyond use are set aside: the processes are then alive but not ready, until
        the control plane has written a table anew.

        Raises
        ------
        StoreError
            If the folder cannot be read or written.
        """
        try:
            self._live = self._routes.live()
        except StoreError as error:
            aside = ", ".join(self._routes.set_aside())
            _log.error("%s (%s); set aside as %s", error.message, error.why, aside)
            self._live = self._routes.live()
        self._show()

    def lost(self, pid: int) -> None:
        """Count the death of a serving process that had not loaded the open proposal yet."""
        if self._proposal is not None and pid not in self._ready:
            self._deaths += 1

    def step(self, running: Mapping[int, int | None]) -> None:
        """Look once; ``running`` gives the process id of each slot, None while it is not running.

        Raises
        ------
        StoreError
            If route or run folder cannot be read or written.
        WorldMoved
            If somebody else settled in between.
        """
        if not self._is_shown:
            self._show()
        self._follow()
        proposal = self._proposal
        if proposal is None:
            return
        live = {slot: pid for slot, pid in running.items() if pid is not None}
        statuses = [status for status in self._board.statuses() if live.get(status.slot) == status.pid]
        self._ready = {status.pid for status in statuses if status.proposal == self._mark}
        refused = self._reason(statuses, len(live))
        if refused is not None:
            self._token = None
            self._routes.settle(proposal.generation, refused=refused)
            _log.warning("generation %d dropped: %s", proposal.generation, refused)
        elif live and len(self._ready) == len(live):
            self._token = None
            self._routes.settle(proposal.generation)
            self._live = proposal
            self._show()
            _log.info("generation %d in force", proposal.generation)

    def _show(self) -> None:
        """Show which table is in force; what fails is tried again at the next look."""
        self._is_shown = False
        self._flip.show(0 if self._live is None else mark_of(self._live))
        self._is_shown = True

    def _follow(self) -> None:
        """Notice a new proposal."""
        token = self._routes.token()
        if token == self._token:
            return
        if self._live is not None and self._routes.mend(self._live):
            _log.error("the live route table was damaged; generation %d is written anew", self._live.generation)
            token = self._routes.token()
        proposal = self._routes.proposed()
        self._token = token
        if proposal is None:
            self._proposal = None
        elif proposal != self._proposal:
            self._proposal, self._mark = proposal, fingerprint(proposal)
            self._since, self._deaths, self._ready = time.monotonic(), 0, set()

    def _reason(self, statuses: list[AcceptorStatus], wanted: int) -> str | None:
        """Return why the proposal must be dropped, or None."""
        if self._proposal is not None and self._live is not None:
            following = self._live.generation + 1
            if self._proposal.generation != following:  # made while the live table could not be read
                return f"generation {following} would follow the table in force"
        for status in statuses:
            if status.proposal == self._mark and status.refused:
                return f"process {status.slot}: {status.refused}"
        if self._deaths >= _DEATHS_TO_REFUSE:
            return "serving processes died while they loaded it"
        if time.monotonic() - self._since > self._timeout_s:
            return f"only {len(self._ready)} of {wanted} serving processes loaded it within {self._timeout_s:g} s"
        return None
