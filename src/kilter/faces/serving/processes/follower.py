"""How a serving process follows the route tables: load what is proposed, serve what is in force."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from kilter.errors import KilterError
from kilter.faces.serving.processes.mark import fingerprint, mark_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilter.contracts.journal import Journal
    from kilter.contracts.route import RouteStore, RouteTable
    from kilter.services.predictor import Predictor

__all__ = ["Follower"]

_log = logging.getLogger(__name__)


class Follower:
    """The process's view of the route files.

    Guarantees: what was loaded stays in force when a new table cannot be served. A table that was
    prepared comes into force in all processes at once: with the mark on the page, which the predictor
    reads at every request; here the same is done for processes that no request reaches.

    Parameters
    ----------
    predictor : Predictor
        Loads and serves.
    journal : Journal
        Takes the events.
    routes : RouteStore
        The files.
    token : callable
        Cheap numbers that change when a file does.
    marks : sequence of one int
        The page; 0 where nobody keeps one, and then the files alone count.
    """

    def __init__(
        self,
        *,
        predictor: Predictor,
        journal: Journal,
        routes: RouteStore,
        token: Callable[[], tuple[int, ...]],
        marks: Sequence[int],
    ) -> None:
        self._predictor = predictor
        self._journal = journal
        self._routes = routes
        self._token = token
        self._marks = marks
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare")
        self._seen: object = None
        self._told = 0
        self._examined: RouteTable | None = None
        self.refused = ""

    @property
    def prepared(self) -> int:
        """Generation of the proposal that was examined; 0 if there is none."""
        return 0 if self._examined is None else self._examined.generation

    @property
    def proposal(self) -> str:
        """Fingerprint of the proposal that was examined."""
        return "" if self._examined is None else fingerprint(self._examined)

    async def look(self) -> bool:
        """Look once; return whether anything was new.

        Raises
        ------
        StoreError
            If the files cannot be read.
        JournalUnavailable
            If the log cannot take the names of the new columns; the old table stays.
        """
        token = self._token()
        if token == self._seen and self._told == self._predictor.generation:
            return False
        live = self._routes.live()
        if live is not None and not await self._follow(live):
            return False
        proposed = self._routes.proposed()
        if proposed is None:
            self._examined, self.refused = None, ""
        elif proposed != self._examined:
            self.refused = await self._prepare(proposed)
            self._examined = proposed
        self._seen = token
        return True

    def close(self) -> None:
        """Stop loading."""
        self._loader.shutdown(wait=False, cancel_futures=True)

    async def _follow(self, live: RouteTable) -> bool:
        """Serve the live table, if its moment has come; the one before stays if it cannot be served."""
        predictor, mark = self._predictor, self._marks[0]
        if live.generation > predictor.generation:
            if predictor.generation and mark not in {0, mark_of(live)}:
                return False  # the supervisor shows the mark next, to all processes at once
            await self._take_over(live)
        if predictor.generation == live.generation and self._told != live.generation:
            self._told = live.generation
            self._journal.event("swap", f"generation {live.generation} from {live.origin}: {live.reason}")
        return True

    async def _take_over(self, live: RouteTable) -> None:
        """Load the live table where that is not done yet, and put it in force."""
        predictor = self._predictor
        is_prepared = live == self._examined and not self.refused and predictor.prepared == live.generation
        refused = "" if is_prepared else await self._prepare(live)
        if not refused:
            if predictor.generation < live.generation:  # no request did it in between
                predictor.commit(live.generation)
            return
        self._journal.event("refused", f"generation {live.generation}: {refused}")
        previous = self._routes.previous()
        if predictor.generation == 0 and previous is not None and not await self._prepare(previous):
            predictor.commit(previous.generation)
            self._told = previous.generation

    async def _prepare(self, table: RouteTable) -> str:
        """Load a table's versions in the side thread; return why it cannot be served, or an empty text."""
        future = asyncio.wrap_future(self._loader.submit(self._predictor.prepare, table, mark=mark_of(table)))
        await asyncio.wait({future})
        error = future.exception()
        if error is None:
            return ""
        if isinstance(error, KilterError):
            _log.warning("generation %d refused: %s", table.generation, error.message)
            return error.message
        _log.error("generation %d refused", table.generation, exc_info=error)
        return f"loading failed with {type(error).__name__}"
