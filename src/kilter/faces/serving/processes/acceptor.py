"""One serving process: answers on an inherited socket, follows the route table, keeps its log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

from kilter.contracts.route import AcceptorStatus
from kilter.errors import KilterError
from kilter.faces.serving.assembly import assemble
from kilter.faces.serving.http.app import ServingApp
from kilter.faces.serving.http.server import Server
from kilter.faces.serving.metrics.observation import Observation
from kilter.faces.serving.oip.repository import Repository
from kilter.faces.serving.processes.follower import Follower
from kilter.faces.serving.processes.shedding import Shedder
from kilter.faces.serving.router import Router

if TYPE_CHECKING:
    import socket

    from kilter.faces.serving.grpc.adapter import GrpcServer
    from kilter.plane import ServingParts

__all__ = ["Acceptor"]

_log = logging.getLogger(__name__)

_POLL_S = 0.02
_FLUSH_S = 0.1
_HEARTBEAT_S = 0.5
_SYNC_S = 1.0
_FIRST_LOAD_S = 10.0
_SHADOW_REST = 4.0
_SHADOW_PAUSE_S = 0.001


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
    grpc_address : str
        Where gRPC is answered; empty = nowhere.
    metrics_socket : socket or None
        Where metrics are answered, if they have a port of their own and this process answers it.
    """

    def __init__(
        self, parts: ServingParts, *, slot: int, grpc_address: str = "", metrics_socket: socket.socket | None = None
    ) -> None:
        self._parts = parts
        self._metrics_socket = metrics_socket
        self._metrics: Server | None = None
        self.observation = Observation(meters=parts.meters, reader=parts.meters, predictor=parts.predictor)
        self._grpc_address = grpc_address
        self._grpc: GrpcServer | None = None
        self._slot = slot
        self._repository = Repository(predictor=parts.predictor, journal=parts.journal, overrides=parts.overrides)
        router = assemble(
            predictor=parts.predictor,
            journal=parts.journal,
            feedback=parts.feedback,
            is_failing=lambda: parts.upkeep.failing,
            default_deployment=parts.default_deployment,
            repository=self._repository,
            observation=self.observation,
            is_metrics_apart=parts.is_metrics_apart,
        )
        self.shedder = Shedder(lambda: self.observation.lag.minimum_s)
        self.app = ServingApp(
            router,
            body_max_bytes=parts.body_max_bytes,
            admit=self.shedder.admit,
            on_answered=self._start_shadows,
        )
        self._follower = Follower(
            predictor=parts.predictor,
            journal=parts.journal,
            routes=parts.routes,
            token=parts.token,
            marks=parts.flip.marks,
        )
        self._shadowing: asyncio.Task[None] | None = None
        self._started_ns = time.time_ns()
        self._sealed_epoch = 0
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
        server = Server(self.app, fast_path=self._parts.fast_path, drain_s=self._parts.drain_s)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):  # before the log is opened, so that it is always closed
            loop.add_signal_handler(number, self._stop, server)
        self._sealed_epoch = self._parts.board.seal_epoch()
        self._report()
        following = asyncio.create_task(self._follow())
        with contextlib.suppress(TimeoutError):  # a slow model: live, but not ready yet
            await asyncio.wait_for(self._has_looked.wait(), _FIRST_LOAD_S)
        await self._open_grpc()
        gc.collect()
        gc.freeze()  # what is loaded now stays: collections need not walk it
        tasks = [following, asyncio.create_task(self._keep_log()), asyncio.create_task(self._show())]
        tasks += self._open_metrics()
        self.observation.start(loop, is_fast=server.fast_path)
        try:
            await server.serve(sockets=[socket_])
            if self._grpc is not None:
                await self._grpc.stop(self._parts.drain_s)
        finally:
            self._is_ending = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._follower.close()
            self.observation.close()
            self._parts.predictor.close()
            self._parts.upkeep.close()
            self._parts.board.withdraw(self._slot)

    def _stop(self, server: Server) -> None:
        """End, also while the first table is being loaded; both protocols drain at once."""
        server.stop()
        if self._metrics is not None:
            self._metrics.stop()
        if self._grpc is not None:
            self._grpc.stop(self._parts.drain_s)
        self._has_looked.set()

    async def _open_grpc(self) -> None:
        """Answer gRPC too, if it is on; its libraries are loaded only then."""
        if not self._grpc_address:
            return
        from kilter.faces.serving.grpc.adapter import GrpcServer  # noqa: PLC0415 - 16 MB that HTTP does not need
        from kilter.faces.serving.grpc.service import GrpcService  # noqa: PLC0415

        service = GrpcService(
            predictor=self._parts.predictor,
            repository=self._repository,
            is_failing=lambda: self._parts.upkeep.failing,
            totals=self.observation.totals,
            admit=self.shedder.admit,
            on_refused=lambda error, name: self.observation.refusals.count(error, "grpc", name),
        )
        self._grpc = GrpcServer(
            service,
            address=self._grpc_address,
            message_max_bytes=self._parts.body_max_bytes,
            on_answered=self._start_shadows,
            spans=self.observation.spans,
        )
        await self._grpc.start()

    def _open_metrics(self) -> list[asyncio.Task[None]]:
        """Answer ``GET /metrics`` on its own port, if this process is the one to do it."""
        if self._metrics_socket is None:
            return []
        app = ServingApp(Router([self.observation.endpoints]), body_max_bytes=self._parts.body_max_bytes)
        self._metrics = Server(app, drain_s=self._parts.drain_s)
        return [asyncio.create_task(self._metrics.serve(sockets=[self._metrics_socket]))]

    async def _follow(self) -> None:
        """Follow the route files and the seal epoch."""
        while True:
            try:
                if await self._follower.look():
                    self._report()
                self._repository.follow()
                await self._seal()
            except KilterError as error:
                _log.warning("cannot follow: %s", error.message, extra={"slot": self._slot})
                await asyncio.sleep(_SYNC_S)
            self._has_looked.set()
            await asyncio.sleep(_POLL_S)

    async def _seal(self) -> None:
        """Seal the log if somebody asked for it."""
        epoch = self._parts.board.seal_epoch()
        if epoch > self._sealed_epoch:
            await self._parts.upkeep.sealed()
            self._sealed_epoch = epoch
            self._report()

    async def _keep_log(self) -> None:
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

    async def _show(self) -> None:
        """Show a heartbeat, and end what takes too long."""
        while True:
            try:
                self.app.end_slow()
                self.observation.refresh()
                self._report()
            except KilterError as error:
                _log.warning("cannot report: %s", error.message, extra={"slot": self._slot})
            await asyncio.sleep(_HEARTBEAT_S)

    def _report(self) -> None:
        """Show this process's status on the board."""
        predictor, follower = self._parts.predictor, self._follower
        self._parts.board.report(
            AcceptorStatus(
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
                if not await self._parts.predictor.run_shadow():
                    return
                await asyncio.sleep(_SHADOW_REST * (time.perf_counter() - begun))
        except KilterError as error:
            _log.warning("shadow not on record: %s", error.message, extra={"slot": self._slot})
        finally:
            self._shadowing = None
