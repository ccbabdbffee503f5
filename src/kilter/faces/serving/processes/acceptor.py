"""One serving process: answers on an inherited socket, follows the route table, keeps its log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import uvicorn

from kilter.contracts.route import AcceptorStatus
from kilter.errors import KilterError
from kilter.faces.serving.assembly import assemble
from kilter.faces.serving.http.app import ServingApp

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from kilter.contracts.route import RouteTable
    from kilter.plane import ServingParts

__all__ = ["Acceptor", "Server", "fingerprint", "server_config"]

_log = logging.getLogger(__name__)

_POLL_S = 0.02
_FLUSH_S = 0.1
_HEARTBEAT_S = 0.5
_SYNC_S = 1.0
_FIRST_LOAD_S = 10.0
_SHADOW_REST = 4.0
_SHADOW_PAUSE_S = 0.001
_KEEP_ALIVE_S = 75
_CONNECTIONS = 4_096
_EXIT_AT_ONCE = 143


def fingerprint(table: RouteTable) -> str:
    """Return what names exactly this table: a generation may be proposed anew after a refusal."""
    return hashlib.blake2b(msgspec.json.encode(table), digest_size=16).hexdigest()


def server_config(app: ServingApp, *, drain_s: float) -> uvicorn.Config:
    """Return the HTTP server's settings: no log of requests, no headers of its own but the date."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=2_048,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )


class Server(uvicorn.Server):
    """The HTTP server; signals are its caller's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    def stop(self) -> None:
        """Drain, or end the process at once when asked again."""
        if self.should_exit:
            os._exit(_EXIT_AT_ONCE)
        self.should_exit = True


class Acceptor:
    """The process's work beside answering: swaps, seals, heartbeats, shadows.

    Guarantees: what was loaded stays in force when a new table cannot be served; a seal that was
    asked for is shown on the board only after it happened; the journal is closed at the end.

    Parameters
    ----------
    parts : ServingParts
        What this process is made of.
    slot : int
        Number of the process among its siblings.
    """

    def __init__(self, parts: ServingParts, *, slot: int) -> None:
        self._parts = parts
        self._slot = slot
        router = assemble(
            predictor=parts.predictor,
            journal=parts.journal,
            feedback=parts.feedback,
            is_failing=lambda: parts.upkeep.failing,
        )
        self.app = ServingApp(router, body_max_bytes=parts.body_max_bytes, on_answered=self._start_shadows)
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare")
        self._syncer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sync")
        self._shadowing: asyncio.Task[None] | None = None
        self._started_ns = time.time_ns()
        self._sealed_epoch = 0
        self._examined: RouteTable | None = None
        self._refused = ""
        self._token: object = None
        self._has_looked = asyncio.Event()
        self._is_ending = False

    async def run(self, socket_: socket.socket) -> None:
        """Serve until a signal comes, then drain and close the log.

        Raises
        ------
        StoreError
            If the run folder cannot be written at the start.
        JournalUnavailable
            If the log cannot be closed; what was acknowledged is safe.
        """
        server = Server(server_config(self.app, drain_s=self._parts.drain_s))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):  # before the log is opened, so that it is always closed
            loop.add_signal_handler(number, self._stop, server)
        self._sealed_epoch = self._parts.board.seal_epoch()
        self._report()
        following = asyncio.create_task(self._follow())
        with contextlib.suppress(TimeoutError):  # a slow model: live, but not ready yet
            await asyncio.wait_for(self._has_looked.wait(), _FIRST_LOAD_S)
        gc.collect()
        gc.freeze()  # what is loaded now stays: collections need not walk it
        tasks = [following, asyncio.create_task(self._keep_log()), asyncio.create_task(self._show())]
        try:
            await server.serve(sockets=[socket_])
        finally:
            self._is_ending = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._loader.shutdown(wait=False, cancel_futures=True)
            self._syncer.shutdown(wait=False, cancel_futures=True)
            self._parts.upkeep.close()
            self._parts.board.withdraw(self._slot)

    def _stop(self, server: Server) -> None:
        """End, also while the first table is being loaded."""
        server.stop()
        self._has_looked.set()

    async def _follow(self) -> None:
        """Follow the route files and the seal epoch."""
        while True:
            try:
                token = self._parts.token()
                if token != self._token:
                    await self._look()
                    self._token = token
                self._seal()
            except KilterError as error:
                _log.warning("cannot follow: %s", error.message, extra={"slot": self._slot})
                await asyncio.sleep(_SYNC_S)
            self._has_looked.set()
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> None:
        """Take over the live table, then examine what is proposed."""
        routes, predictor = self._parts.routes, self._parts.predictor
        live = routes.live()
        if live is not None and live.generation > predictor.generation:
            await self._take_over(live)
        proposed = routes.proposed()
        if proposed is None:
            self._examined, self._refused = None, ""
        elif proposed != self._examined:
            self._refused = await self._prepare(proposed)
            self._examined = proposed
        self._report()

    async def _take_over(self, live: RouteTable) -> None:
        """Put the live table in force; the one before stays if it cannot be."""
        predictor = self._parts.predictor
        is_prepared = live == self._examined and not self._refused and predictor.prepared == live.generation
        refused = "" if is_prepared else await self._prepare(live)
        if not refused:
            predictor.commit(live.generation)
            self._parts.journal.event("swap", f"generation {live.generation} from {live.origin}: {live.reason}")
            return
        self._parts.journal.event("refused", f"generation {live.generation}: {refused}")
        previous = self._parts.routes.previous()
        if predictor.generation == 0 and previous is not None and not await self._prepare(previous):
            predictor.commit(previous.generation)

    async def _prepare(self, table: RouteTable) -> str:
        """Load a table's versions in the side thread; return why it cannot be served, or an empty text."""
        future = asyncio.wrap_future(self._loader.submit(self._parts.predictor.prepare, table))
        await asyncio.wait({future})
        error = future.exception()
        if error is None:
            return ""
        if isinstance(error, KilterError):
            _log.warning("generation %d refused: %s", table.generation, error.message)
            return error.message
        _log.error("generation %d refused", table.generation, exc_info=error)
        return f"loading failed with {type(error).__name__}"

    def _seal(self) -> None:
        """Seal the log if somebody asked for it."""
        epoch = self._parts.board.seal_epoch()
        if epoch > self._sealed_epoch:
            self._parts.upkeep.seal()
            self._sealed_epoch = epoch
            self._report()

    async def _keep_log(self) -> None:
        """Flush and sync the log in their rhythms; the device is waited for in a side thread."""
        loop, synced = asyncio.get_running_loop(), 0.0
        while True:
            try:
                self._parts.upkeep.flush()
                if time.monotonic() - synced >= _SYNC_S:
                    synced = time.monotonic()
                    await loop.run_in_executor(self._syncer, self._parts.upkeep.sync)
            except KilterError as error:
                _log.error("the log refuses: %s", error.message, extra={"slot": self._slot})
                await asyncio.sleep(_SYNC_S)
            await asyncio.sleep(_FLUSH_S)

    async def _show(self) -> None:
        """Show a heartbeat, and end what takes too long."""
        while True:
            try:
                self.app.end_slow()
                self._report()
            except KilterError as error:
                _log.warning("cannot report: %s", error.message, extra={"slot": self._slot})
            await asyncio.sleep(_HEARTBEAT_S)

    def _report(self) -> None:
        """Show this process's status on the board."""
        predictor, examined = self._parts.predictor, self._examined
        self._parts.board.report(
            AcceptorStatus(
                slot=self._slot,
                pid=os.getpid(),
                generation=predictor.generation,
                prepared=0 if examined is None else examined.generation,
                refused=self._refused,
                sealed_epoch=self._sealed_epoch,
                requests=predictor.requests,
                failures=predictor.failures,
                started_ns=self._started_ns,
                heartbeat_ns=time.time_ns(),
                proposal="" if examined is None else fingerprint(examined),
            )
        )

    def _start_shadows(self) -> None:
        """Start working on shadow copies, if any wait and nobody does."""
        if self._parts.predictor.shadows and not self._is_ending and self._shadowing is None:
            self._shadowing = asyncio.create_task(self._run_shadows())

    async def _run_shadows(self) -> None:
        """Run shadow copies, resting four times as long as each took: at most a fifth of this core."""
        try:
            while not self._is_ending:
                await asyncio.sleep(_SHADOW_PAUSE_S)
                begun = time.perf_counter()
                if not self._parts.predictor.run_shadow():
                    return
                await asyncio.sleep(_SHADOW_REST * (time.perf_counter() - begun))
        except KilterError as error:
            _log.warning("shadow not on record: %s", error.message, extra={"slot": self._slot})
        finally:
            self._shadowing = None
