"""One serving process: answers on an inherited socket, follows the route table, keeps its log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time
from typing import TYPE_CHECKING

from kilter.errors import KilterError
from kilter.faces.serving.assembly import assemble
from kilter.faces.serving.http.app import ServingApp
from kilter.faces.serving.http.server import Server
from kilter.faces.serving.metrics.observation import Observation
from kilter.faces.serving.oip.repository import Repository
from kilter.faces.serving.processes.follower import Follower
from kilter.faces.serving.processes.rounds import Rounds
from kilter.faces.serving.processes.shedding import Shedder
from kilter.faces.serving.router import Router

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

    from kilter.faces.serving.grpc.adapter import GrpcServer
    from kilter.plane import ServingParts

__all__ = ["Acceptor"]

_log = logging.getLogger(__name__)

_FAILED = 1
_FIRST_LOAD_S = 10.0
_SHADOW_REST = 4.0
_SHADOW_PAUSE_S = 0.001


class Acceptor:
    """The process's work beside answering: swaps, seals, heartbeats, shadows.

    Guarantees: what was loaded stays in force when a new table cannot be served; a process whose work
    beside answering has failed drains and ends, so that the supervisor starts another; the journal is
    closed at the end.

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
            is_failing=self._is_failing,
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
        self._rounds = Rounds(
            parts, slot=slot, follower=self._follower, follow=self._repository.follow, tend=self._tend
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._shadowing: asyncio.Task[None] | None = None
        self._is_ending = False
        self._code = 0

    async def run(self, socket_: socket.socket) -> int:
        """Serve until a signal comes, then drain and close the log.

        Returns
        -------
        int
            Exit code: 0, or 1 if the process ended because work beside answering failed.

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
        self._rounds.begin()
        self._start(server, self._rounds.follow(), "following the routes")
        with contextlib.suppress(TimeoutError):  # a slow model: live, but not ready yet
            await asyncio.wait_for(self._rounds.has_looked.wait(), _FIRST_LOAD_S)
        await self._open_grpc()
        gc.collect()
        gc.freeze()  # what is loaded now stays: collections need not walk it
        self._start(server, self._rounds.keep_log(), "keeping the log")
        self._start(server, self._rounds.show(), "the heartbeat")
        self._open_metrics(server)
        self.observation.start(loop, is_fast=server.fast_path)
        try:
            await server.serve(sockets=[socket_])
            if self._grpc is not None:
                await self._grpc.stop(self._parts.drain_s)
        finally:
            self._is_ending = True
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._close()
        return self._code

    def _close(self) -> None:
        """Close all parts, the log in any case, whatever another part raises."""
        with contextlib.ExitStack() as parts:  # the last one first
            parts.callback(self._parts.board.withdraw, self._slot)
            parts.callback(self._parts.upkeep.close)
            parts.callback(self._parts.predictor.close)
            parts.callback(self.observation.close)
            parts.callback(self._follower.close)

    def _start(self, server: Server, work: Coroutine[object, object, None], name: str) -> None:
        """Start work that lasts as long as the process; without it the process would serve on half dead."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(lambda done: self._on_done(server, done))
        self._tasks.append(task)

    def _on_done(self, server: Server, task: asyncio.Task[None]) -> None:
        """End the process if the work failed; an end that was asked for is none."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        _log.critical("%s failed; the process ends", task.get_name(), exc_info=error, extra={"slot": self._slot})
        self._code = _FAILED
        if not server.should_exit:  # a second stop would not drain
            self._stop(server)

    def _tend(self) -> None:
        """End what takes too long, and renew what is observed."""
        self.app.end_slow()
        self._parts.meters.tend()
        self.observation.refresh()

    def _is_failing(self) -> bool:
        """Say whether the log refuses requests; where all deployments say ``count``, it does not."""
        predictor = self._parts.predictor
        return self._parts.upkeep.failing and any(
            predictor.route(name).on_full == "fail" for name in predictor.deployments()
        )

    def _stop(self, server: Server) -> None:
        """End, also while the first table is being loaded; both protocols drain at once."""
        server.stop()
        if self._metrics is not None:
            self._metrics.stop()
        if self._grpc is not None:
            self._grpc.stop(self._parts.drain_s)
        self._rounds.has_looked.set()

    async def _open_grpc(self) -> None:
        """Answer gRPC too, if it is on; its libraries are loaded only then."""
        if not self._grpc_address:
            return
        from kilter.faces.serving.grpc.adapter import GrpcServer  # noqa: PLC0415 - 16 MB that HTTP does not need
        from kilter.faces.serving.grpc.service import GrpcService  # noqa: PLC0415

        service = GrpcService(
            predictor=self._parts.predictor,
            repository=self._repository,
            is_failing=self._is_failing,
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

    def _open_metrics(self, server: Server) -> None:
        """Answer ``GET /metrics`` on its own port, if this process is the one to do it."""
        if self._metrics_socket is None:
            return
        app = ServingApp(Router([self.observation.endpoints]), body_max_bytes=self._parts.body_max_bytes)
        self._metrics = Server(app, drain_s=self._parts.drain_s)
        self._start(server, self._metrics.serve(sockets=[self._metrics_socket]), "answering metrics")

    def _start_shadows(self) -> None:
        """Start working on shadow copies, if any wait and nobody does."""
        if self._parts.predictor.shadows and not self._is_ending and self._shadowing is None:
            self._shadowing = asyncio.create_task(self._run_shadows())
            self._shadowing.add_done_callback(self._on_shadowed)

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

    def _on_shadowed(self, task: asyncio.Task[None]) -> None:
        """Log what ended the work on shadow copies; the next answer starts it anew, and no user waits for it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a shadow copy failed", exc_info=error, extra={"slot": self._slot})
