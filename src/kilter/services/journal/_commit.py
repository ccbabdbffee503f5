"""Group commit: one thread forces the log to the device for everybody who waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.errors import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.contracts.log import RecordLog

__all__ = ["GroupCommit"]


@dataclass(slots=True)
class _Waiter:
    """Somebody who waits until what was written before is on the device."""

    future: asyncio.Future[None]
    has_failed: bool = False


class GroupCommit:
    """Lets whoever appended wait for the device, together with all others who wait.

    There is no timer: while one sync runs, the next group forms. A waiter is taken only if its bytes were
    written before the call, for whoever joins has written already. A sync that fails is not repeated on the
    same file: the log writes anew what it kept, and that is synced, once.

    Guarantees: ``join`` and the release of waiters happen on the event loop, which also owns the log's
    appends; only ``sync`` runs in the thread. The thread starts with the first waiter.

    Parameters
    ----------
    log : RecordLog
        What is synced.
    """

    def __init__(self, log: RecordLog) -> None:
        self._log = log
        self._joining = threading.Lock()
        self._waiters: list[_Waiter] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def join(self) -> asyncio.Future[None]:
        """Return what is done once everything appended before this call is on the device.

        Returns
        -------
        Future
            Raises JournalUnavailable if the device refuses, also after everything was written anew.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enter([_Waiter(future)])
        return future

    def close(self) -> None:
        """End the thread; who still waits is answered first."""
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _enter(self, waiters: Sequence[_Waiter]) -> None:
        """Let waiters take part in the next group."""
        with self._joining:
            self._waiters += waiters
        if self._thread is None:
            self._is_closed = False
            self._thread = threading.Thread(target=self._run, name="log-sync", daemon=True)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        """Sync group after group."""
        while True:
            self._wake.wait()
            self._wake.clear()
            with self._joining:
                group, self._waiters = self._waiters, []
            if group:
                self._serve(group)
            elif self._is_closed:
                return
            if self._is_closed:
                self._wake.set()  # look once more for who came in between, then end

    def _serve(self, group: Sequence[_Waiter]) -> None:
        """Sync for one group, and tell its loop."""
        error: JournalUnavailable | None = None
        try:
            self._log.sync()
        except JournalUnavailable as refusal:
            error = refusal
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            group[0].future.get_loop().call_soon_threadsafe(self._release, group, error)

    def _release(self, group: Sequence[_Waiter], error: JournalUnavailable | None) -> None:
        """Answer a group, or let those whose first sync failed wait for a second on another file."""
        if error is not None and not self._is_closed:
            first = [waiter for waiter in group if not waiter.has_failed]
            try:
                self._log.append(())
            except JournalUnavailable as refusal:
                error = refusal
            else:
                group = [waiter for waiter in group if waiter.has_failed]
                for waiter in first:
                    waiter.has_failed = True
                self._enter(first)
        for waiter in group:
            if waiter.future.done():  # cancelled meanwhile
                continue
            if error is None:
                waiter.future.set_result(None)
            else:
                waiter.future.set_exception(error)
