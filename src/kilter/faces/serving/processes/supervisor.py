"""The supervisor: owns the listening sockets, keeps the children alive, settles route proposals.

``python -m kilter.faces.serving.processes.supervisor --settings FILE [--child NAME=JSON_ARGV]...``
It serves no traffic, so nothing that a request does can stop it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kilter import plane
from kilter.errors import Conflict, KilterError, StateError, StoreError
from kilter.faces.serving.processes.child import Child
from kilter.faces.serving.processes.listener import listen, reserve
from kilter.faces.serving.processes.reflex import Reflex
from kilter.faces.serving.processes.settlement import Settlement
from kilter.faces.serving.processes.watchdog import Watchdog
from kilter.settings import transfer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from types import FrameType

    from kilter.contracts.meters import Slot
    from kilter.plane import PlaneParts

__all__ = ["Supervisor", "main"]

_log = logging.getLogger(__name__)

_POLL_S = 0.02
_GRACE_S = 5.0
_REFUSED, _FAILED = 1, 3


class Supervisor:
    """One node's processes.

    Guarantees: a dead child is started again on the same socket, so that no waiting connection is
    reset; after SIGTERM or SIGINT every child has ended before ``run`` returns.

    Parameters
    ----------
    parts : PlaneParts
        Route tables, board, address, number of serving processes.
    settings_path : str
        The settings file that children read.
    children : mapping of name to argv
        Further processes to keep alive.
    """

    def __init__(
        self, parts: PlaneParts, *, settings_path: str, children: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._parts = parts
        self._settings_path = settings_path
        self._further = dict(children or {})
        self._settlement = Settlement(parts)
        self._watchdog = Watchdog(parts.board.statuses)
        self._reflex = Reflex(routes=parts.routes, totals=parts.meters.totals, now=parts.clock.now)
        self._children: list[Child] = []
        self._is_stopping = False

    def run(self) -> int:
        """Supervise until a signal comes; return the exit code.

        Raises
        ------
        Conflict
            If another supervisor runs here, or the port is taken.
        StoreError
            If the run folder cannot be written, or the address not be used.
        """
        parts = self._parts
        parts.board.claim()
        try:
            self._settlement.begin()
            wake_fd = self._catch_signals()
            sockets = listen(parts.host, parts.port, count=parts.workers)
            port: int = sockets[0].getsockname()[1]
            grpc = self._reserve_grpc()
            metrics = self._listen_for_metrics()
            self._announce(port, 0 if grpc is None else grpc.getsockname()[1])
            restarts = parts.meters.slot("kilter_worker_restarts_total", "", "")
            self._fold()
            for slot, socket_ in enumerate(sockets):
                argv = [sys.executable, "-m", "kilter.faces.serving", "--settings", self._settings_path]
                argv += ["--slot", str(slot), "--fd", str(socket_.fileno())]
                argv += [] if grpc is None else ["--grpc", _address(grpc)]
                fds = [socket_.fileno()]
                if metrics is not None and slot == 0:
                    argv += ["--metrics-fd", str(metrics.fileno())]
                    fds.append(metrics.fileno())
                self._children.append(Child(f"serving[{slot}]", argv, slot=slot, fds=fds))
            self._children += [Child(name, argv) for name, argv in self._further.items()]
            _log.info("serving on http://%s:%d with %d processes", parts.host, port, parts.workers)
            try:
                self._watch(wake_fd, restarts)
            finally:
                self._stop()
        finally:
            parts.board.release()
        return 0

    def _watch(self, wake_fd: int, restarts: Slot) -> None:
        """Keep children alive and settle proposals until a signal comes."""
        while not self._is_stopping:
            for child in self._children:
                pid = child.pid
                if child.tend() and pid is not None and child.slot is not None:
                    self._settlement.lost(pid)
                    restarts.add()
                    self._fold()
            running = {child.slot: child.pid for child in self._children if child.slot is not None}
            try:
                self._settlement.step(running)
                self._reflex.step()
                self._end_hung(self._watchdog.hung(running))
            except KilterError as error:
                _log.warning("cannot settle: %s", error.message)
            if select.select([wake_fd], [], [], _POLL_S)[0]:
                os.read(wake_fd, 64)

    def _end_hung(self, slots: Collection[int]) -> None:
        """End processes that do not move; they are started again like others that died."""
        for child in self._children:
            if child.slot in slots:
                _log.error("serving[%s] shows no sign of life and is ended", child.slot)
                child.kill()

    def _stop(self) -> None:
        """End all children: politely, then not."""
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + self._parts.drain_s + _GRACE_S
        for child in self._children:
            child.wait(max(0.0, deadline - time.monotonic()))
        self._fold()
        _log.info("all processes have ended")

    def _catch_signals(self) -> int:
        """Turn SIGTERM and SIGINT into the end of the watch; return a descriptor that wakes it."""
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return read_fd

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        """Begin to stop; when asked again, end the children at once."""
        if self._is_stopping:
            for child in self._children:
                child.kill()
        self._is_stopping = True
        _log.info("%s: stopping", signal.Signals(number).name)

    def _reserve_grpc(self) -> socket.socket | None:
        """Keep the port of gRPC, whose sockets each serving process opens for itself; None if it is off."""
        port = self._parts.grpc_port
        return None if port == 0 else reserve(self._parts.host, max(0, port))

    def _listen_for_metrics(self) -> socket.socket | None:
        """Open the port of the metrics, which one process answers for all; None if it is the data plane's own."""
        port = self._parts.metrics_port
        return listen(self._parts.host, port, count=1, key="metrics_port")[0] if port else None

    def _fold(self) -> None:
        """Take over what dead processes had counted."""
        try:
            self._parts.meters.fold()
        except KilterError as error:
            _log.warning("%s: %s", error.message, error.why)

    def _announce(self, port: int, grpc_port: int) -> None:
        """Write down which ports are served, for whoever asked for any free one."""
        path = Path(self._parts.home) / "run" / "ports.json"
        serving = {"host": self._parts.host, "port": port, "grpc_port": grpc_port}
        document = {"serving": serving, "pid": os.getpid()}
        waiting = path.with_suffix(".new")
        try:
            waiting.write_text(json.dumps(document))
            waiting.replace(path)
        except OSError as cause:
            message = f"{path.name} cannot be written: {cause.strerror}"
            raise StoreError(message, where=str(path), hint="make room, or make the folder writable") from cause


def _address(socket_: socket.socket) -> str:
    """Return where a socket is bound, as gRPC writes addresses."""
    host, port = socket_.getsockname()[:2]
    return f"[{host}]:{port}" if socket_.family == socket.AF_INET6 else f"{host}:{port}"


def main(arguments: list[str] | None = None) -> int:
    """Run the supervisor; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="kilter.faces.serving.processes.supervisor", description="Keeps kilter's processes alive."
    )
    parser.add_argument("--settings", required=True, help="JSON file with the settings, written by `kilter up`")
    parser.add_argument("--child", action="append", default=[], metavar="NAME=JSON_ARGV", help="a further process")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s supervisor %(levelname)s %(message)s")
    children: dict[str, list[str]] = {}
    for child in given.child:
        name, _, argv = child.partition("=")
        children[name] = json.loads(argv)
    try:
        parts = plane.supervising(transfer.read(given.settings))
        return Supervisor(parts, settings_path=given.settings, children=children).run()
    except KilterError as error:
        lines = [f"error: {error.message}", f"  why: {error.why}" if error.why else "", f"  fix: {error.hint}"]
        sys.stderr.write("\n".join(line for line in lines if line) + "\n")
        return _REFUSED if isinstance(error, (StateError, Conflict)) else _FAILED


if __name__ == "__main__":
    sys.exit(main())
