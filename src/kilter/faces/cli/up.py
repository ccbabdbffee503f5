"""``kilter up``: become the supervisor of data plane, control plane and dashboard."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from kilter.errors import GateFailed, Inconclusive
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]


@verb("up")
@click.option("--port", type=int, help="Port of the control plane and dashboard.")
@click.option("--data-port", type=int, help="Port of the data plane.")
@click.option("--workers", type=int, help="Serving processes; 0 = one per usable core.")
@click.option(
    "--role",
    type=click.Choice(["all", "data", "control"]),
    default="all",
    show_default=True,
    help="What to run here.",
)
def command(session: Session, *, port: int | None, data_port: int | None, workers: int | None, role: str) -> int:
    """Serve the models of kilter.toml until interrupted.

    Models that have never been served go live first, if their gates pass.
    """
    from kilter.settings import transfer

    flags = {"server.port": port, "serving.port": data_port, "serving.workers": workers}
    session.flags |= {name: value for name, value in flags.items() if value is not None}
    settings = session.settings
    _first_deployments(session)
    path = Path(session.app.home.folder("run")) / "settings.json"
    transfer.write(settings, path)
    session.app.close()
    control = [sys.executable, "-m", "kilter.faces.api", "--settings", str(path)]
    if role == "control":
        os.execv(sys.executable, control)
    supervisor = [sys.executable, "-m", "kilter.faces.serving.supervisor", "--settings", str(path)]
    if role == "all":
        supervisor += ["--child", f"control={msgspec.json.encode(control).decode()}"]
        session.console.note(f"dashboard  http://{settings.server.host}:{settings.server.port}")
    session.console.note(f"predict    http://{settings.serving.host}:{settings.serving.port}/predict/MODEL")
    session.console.note("stop with Ctrl-C")
    sys.stderr.flush()
    os.execv(sys.executable, supervisor)


def _first_deployments(session: Session) -> None:
    """Bring models live that are wanted and have never been served; a failing gate keeps one out."""
    from kilter.contracts.deployment import Deployment

    for spec in session.settings.deployments:
        name = spec.model.name
        live = session.app.metadata.read(lambda tx, name=name: tx.get(Deployment, name))  # type: ignore[misc]
        if live is not None and live.champion is not None:
            continue
        try:
            applied = session.app.deployer.apply(spec, by=session.who)
        except (GateFailed, Inconclusive) as error:
            session.console.warn(f"{name} is not served: {error.message}")
            session.console.note(
                f"see `kilter check {name}`; serve it all the same with `kilter apply --override gates`"
            )
            continue
        session.console.note(f"{name}: version {applied.number} is live. {applied.message}")
    if not session.settings.deployments:
        session.console.note("no model yet: add one with `kilter add MODEL --data REF --target COL`")
