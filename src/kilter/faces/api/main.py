"""The control plane's process: the web application in the main thread, the control loop in one beside it."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvicorn

from kilter import plugins
from kilter.app import build
from kilter.control.loop import Loop
from kilter.errors import Conflict, KilterError, StoreError
from kilter.faces.api.app import create
from kilter.faces.api.logline import JsonLines
from kilter.settings import transfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilter.app import App
    from kilter.faces.api.app import Pages

__all__ = ["bind", "is_gone", "main", "serve"]

_log = logging.getLogger(__name__)
_DRAIN_S = 5
_JOIN_S = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the control plane until SIGTERM or SIGINT.

    Parameters
    ----------
    arguments : strings or None
        Command line without the program; None takes the process's own.

    Returns
    -------
    int
        0 after a clean stop, 1 if it could not start (said on standard error).

    Raises
    ------
    Nothing
    """
    parser = argparse.ArgumentParser(prog="python -m kilter.faces.api", description=__doc__)
    parser.add_argument("--settings", required=True, help="settings, as `kilter up` hands them to its children")
    given = parser.parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    stop = threading.Event()
    # uvicorn hands the signal on when it is done; by then it has nothing left to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        app = build(transfer.read(Path(given.settings)))
        try:
            server = app.settings.server
            with bind(server.host, server.port) as listener:
                serve(app, listener, stop)
        finally:
            app.close()
    except KilterError as error:
        sys.stderr.write(_four_lines(error))
        return 1
    return 0


def serve(app: App, listener: socket.socket, stop: threading.Event) -> None:
    """Answer on a socket, and turn the loop, until a signal or ``stop``.

    Raises
    ------
    KilterError
        If the stores cannot be opened.
    """
    loop = _loop(app)
    pages = cast("Pages", plugins.load("faces.web", "app"))
    config = uvicorn.Config(
        create(app, loop=loop, pages=pages),
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=loop.run, args=(stop, app.settings.control.poll_s), name="control", daemon=True)
    thread.start()
    _log.info("control.started", extra={"address": "{}:{}".format(*listener.getsockname()[:2]), "pid": os.getpid()})
    try:
        if not stop.is_set():
            server.run(sockets=[listener])
    finally:
        stop.set()
        thread.join(_JOIN_S)
    _log.info("control.stopped", extra={"pid": os.getpid(), "is_clean": not thread.is_alive()})


def bind(host: str, port: int) -> socket.socket:
    """Return a socket listening on the address.

    Raises
    ------
    Conflict
        If another process listens there.
    StoreError
        If the address cannot be used at all.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} is in use"
            why = "another program listens there, perhaps another `kilter up`"
            hint = "stop it, or give another one with `--port` or `server.port`"
            raise Conflict(message, where=where, why=why, hint=hint) from error
        message = f"cannot listen on {where}: {error.strerror}"
        raise StoreError(message, where=where, hint="set `server.host` and `server.port`") from error
    listener.set_inheritable(False)
    return listener


def is_gone(holder: str) -> bool:
    """Say whether the process that held the lease is dead for certain: it ran here, and its id is free."""
    host, _, rest = holder.rpartition("@")
    pid = rest.partition(".")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _loop(app: App) -> Loop:
    """Build the control loop; this also opens every part before threads share them."""
    return Loop(
        metadata=app.metadata,
        collector=app.collector,
        caretaker=app.caretaker,
        monitor=app.monitor,
        deployer=app.deployer,
        retrainer=app.retrainer,
        auditor=app.governance,
        clock=app.clock,
        machine=app.machine,
        ids=app.ids,
        holder=f"{socket.gethostname()}@{os.getpid()}.{time.time_ns()}",
        is_gone=is_gone,
    )


def _four_lines(error: KilterError) -> str:
    """Render an error for a terminal."""
    lines = (("error", error.message), ("where", error.where), ("why", error.why), ("fix", error.hint))
    return "".join(f"{name}: {text}\n" for name, text in lines if text)
