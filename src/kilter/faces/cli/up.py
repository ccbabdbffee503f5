"""``kilter up``: become the supervisor of data plane, control plane and dashboard."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from kilter.errors import Conflict, GateFailed, Inconclusive, OnHold
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]


@verb("up")
@click.option("--port", type=int, help="Port of the control plane and dashboard.")
@click.option("--data-port", type=int, help="Port of the data plane.")
@click.option("--grpc-port", type=int, help="Port of the data plane's gRPC; 0 = none.")
@click.option("--workers", type=int, help="Serving processes; 0 = one per usable core.")
@click.option(
    "--role",
    type=click.Choice(["all", "data", "control"]),
    default="all",
    show_default=True,
    help="What to run here.",
)
def command(
    session: Session,
    *,
    port: int | None,
    data_port: int | None,
    grpc_port: int | None,
    workers: int | None,
    role: str,
) -> int:
    """Serve the models of kilter.toml until interrupted.

    Models that have never been served go live first, if their gates pass.
    """
    from kilter.settings import transfer

    flags = {
        "server.port": port,
        "serving.port": data_port,
        "serving.grpc_port": grpc_port,
        "serving.workers": workers,
    }
    session.flags |= {name: value for name, value in flags.items() if value is not None}
    app = session.new_app()
    _require_free(session, role)
    served = _first_deployments(session)
    path = Path(app.home.folder("run")) / "settings.json"
    transfer.write(session.settings, path)
    session.close()
    addresses = _tell(session, role)
    session.console.finish({"pid": os.getpid(), **addresses, "served": served})
    control = [sys.executable, "-m", "kilter.faces.api", "--settings", str(path)]
    words = control
    if role != "control":
        words = [sys.executable, "-m", "kilter.faces.serving.processes.supervisor", "--settings", str(path)]
        words += ["--child", f"control={msgspec.json.encode(control).decode()}"] if role == "all" else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, words)  # noqa: S606 - this process becomes kilter's own module; the words are built here


def _tell(session: Session, role: str) -> dict[str, str]:
    """Print and return the addresses."""
    settings, console = session.settings, session.console
    addresses: dict[str, str] = {}
    if role != "data":
        addresses["dashboard"] = f"http://{settings.server.host}:{settings.server.port}"
    if role != "control":
        addresses["predict"] = f"http://{settings.serving.host}:{settings.serving.port}/predict/MODEL"
        if settings.serving.grpc_port:
            addresses["grpc"] = f"{settings.serving.host}:{settings.serving.grpc_port}"
    for name, address in addresses.items():
        console.note(f"{name:10} {address}")
    console.note("stop with Ctrl-C")
    return addresses


def _require_free(session: Session, role: str) -> None:
    """Refuse before anything changes if kilter runs here already, or a port is taken."""
    settings = session.settings
    pid = session.app.board.supervisor_pid()
    if pid is not None and role != "control":
        msg = f"kilter is already running here, as process {pid}"
        raise Conflict(msg, where=settings.project.home, hint=f"use it, or stop it with `kill {pid}`")
    places = []
    if role != "control":
        places.append((settings.serving.host, settings.serving.port, "--data-port"))
        if settings.serving.grpc_port:
            places.append((settings.serving.host, settings.serving.grpc_port, "--grpc-port"))
    if role != "data":
        places.append((settings.server.host, settings.server.port, "--port"))
    for host, port, option in places:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                msg = f"port {port} cannot be used: {error.strerror}"
                raise Conflict(msg, where=f"{host}:{port}", hint=f"choose another with `{option} PORT`") from error


def _first_deployments(session: Session) -> list[str]:
    """Bring models live that are wanted and have never been served; a failing gate keeps one out."""
    served = []
    for spec in session.settings.deployments:
        name = spec.model.name
        live = session.deployed(name)
        if live is not None and live.champion is not None:
            served.append(f"{name}@{live.champion}")
            session.console.note(f"{name}: version {live.champion} is live")
            continue
        try:
            applied = session.app.deployer.apply(spec, by=session.who)
        except (GateFailed, Inconclusive, OnHold) as error:
            session.console.warn(f"{name} is not served: {error.message}: {error.why or 'no reason given'}")
            session.console.note(
                f"see `kilter check {name}`; to serve it all the same: "
                f"`kilter apply {name} --override gates --reason TEXT`"
            )
            continue
        served.append(f"{name}@{applied.number}")
        session.console.note(f"{name}: version {applied.number} is live ({applied.message})")
    if not session.settings.deployments:
        session.console.note("no model yet: add one with `kilter add MODEL --data REF --target COL`")
    return served
