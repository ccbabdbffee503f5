"""What a serving process does in rhythms beside answering: follow the routes, keep the log, show itself."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING

from kilter.contracts.route import AcceptorStatus
from kilter.errors import KilterError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.faces.serving.processes.follower import Follower
    from kilter.plane import ServingParts

__all__ = ["Rounds"]

_log = logging.getLogger(__name__)

_POLL_S = 0.02
_FLUSH_S = 0.1
_HEARTBEAT_S = 0.5
_SYNC_S = 1.0


class Rounds:
    """Three rounds, each a task that runs until it is cancelled.

    Guarantees: what kilter itself refuses is logged and tried again; anything else ends the round with
    that exception, so that whoever started it can end the process. A status that cannot be written is no
    reason to end or wait. A seal that was asked for is shown on
    the board only after it happened.

    Parameters
    ----------
    parts : ServingParts
        What this process is made of.
    slot : int
        Number of the process among its siblings.
    follower : Follower
        Looks at the route files.
    follow : callable
        What else follows the files, in the same rhythm.
    tend : callable
        What else is done at each heartbeat.
    """

    def __init__(
        self,
        parts: ServingParts,
        *,
        slot: int,
        follower: Follower,
        follow: Callable[[], None],
        tend: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._slot = slot
        self._follower = follower
        self._follow_too = follow
        self._tend_too = tend
        self._started_ns = time.time_ns()
        self._sealed_epoch = 0
        self._is_hidden = False  # what was last to be shown could not be written
        self.has_looked = asyncio.Event()

    def begin(self) -> None:
        """Show the process on the board; seals asked for before it are not its own.

        Raises
        ------
        StoreError
            If the run folder cannot be read.
        """
        self._sealed_epoch = self._parts.board.seal_epoch()
        self._report()

    async def follow(self) -> None:
        """Follow the route files and the seal epoch."""
        while True:
            try:
                if await self._follower.look():
                    self._report()
                self._follow_too()
                await self._seal()
            except KilterError as error:
                _log.warning("cannot follow: %s", error.message, extra={"slot": self._slot})
                await asyncio.sleep(_SYNC_S)
            self.has_looked.set()
            await asyncio.sleep(_POLL_S)

    async def keep_log(self) -> None:
        """Flush the log and tend it in their rhythms; the device is waited for in the journal's own thread."""
        loop, tended = asyncio.get_running_loop(), 0.0
        while True:
            try:
                self._parts.upkeep.flush()
                if loop.time() - tended >= _SYNC_S:
                    tended = loop.time()
                    await self._parts.upkeep.tend()
            except KilterError as error:
                _log.error("the log refuses: %s", error.message, extra={"slot": self._slot})
                await asyncio.sleep(_SYNC_S)
            await asyncio.sleep(_FLUSH_S)

    async def show(self) -> None:
        """Show a heartbeat, and end what takes too long."""
        while True:
            try:
                self._tend_too()
                self._report()
            except KilterError as error:
                _log.warning("cannot report: %s", error.message, extra={"slot": self._slot})
            await asyncio.sleep(_HEARTBEAT_S)

    async def _seal(self) -> None:
        """Seal the log if somebody asked for it."""
        epoch = self._parts.board.seal_epoch()
        if epoch > self._sealed_epoch:
            await self._parts.upkeep.sealed()
            self._sealed_epoch = epoch
            self._report()

    def _report(self) -> None:
        """Show this process's status on the board; if it cannot be written, say so once: the next heartbeat tries."""
        try:
            self._parts.board.report(self._status())
        except StoreError as error:
            if not self._is_hidden:
                _log.warning("cannot report: %s: %s", error.message, error.why, extra={"slot": self._slot})
            self._is_hidden = True
        else:
            self._is_hidden = False

    def _status(self) -> AcceptorStatus:
        """Return what the board is to show."""
        predictor, follower = self._parts.predictor, self._follower
        return AcceptorStatus(
            slot=self._slot,
            pid=os.getpid(),
            generation=predictor.generation,
            prepared=follower.prepared,
            refused=follower.refused,
            sealed_epoch=self._sealed_epoch,
            requests=predictor.requests,
            failures=predictor.failures,
            started_ns=self._started_ns,
            heartbeat_ns=time.time_ns(),
            proposal=follower.proposal,
        )
