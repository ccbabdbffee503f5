"""``kilter status``: one screen of what, since when, and what to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import Alert, HealthState
from kilter.faces.cli.errors import DONE
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.contracts.monitor import DeploymentHealth
    from kilter.contracts.plan import DeploymentStatus
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_WATCH_S = 2.0


@verb("status")
@click.argument("model", required=False)
@click.option("--watch", is_flag=True, help="Draw again every two seconds until interrupted.")
def command(session: Session, *, model: str | None, watch: bool) -> int:
    """Say what is served, how it is doing, since when, and what to do next."""
    while True:
        shown = _screen(session, model)
        if not watch:
            session.console.finish(shown)
            return DONE
        time.sleep(_WATCH_S)
        click.clear()


def _screen(session: Session, model: str | None) -> dict[str, object]:
    """Print the state of the planes and of every model."""
    app = session.app
    if model is not None:
        session.deployment(model)
    pid = app.board.supervisor_pid()
    workers = [status for status in app.board.statuses() if status.generation]
    console = session.console
    if pid is None:
        console.data("serving        stopped (start with `kilter up`)")
    else:
        console.data(
            f"serving        {len(workers)} workers on {session.settings.serving.host}:{session.settings.serving.port}"
        )
    found = app.metadata.read(lambda tx: tx.list(Deployment))
    names = [one.id for one in found if model is None or one.id == model.split("@")[0]]
    items = [_model(session, name) for name in names]
    if not items:
        console.data("no model is deployed; add one with `kilter add MODEL --data REF --target COL`, then `kilter up`")
    return {"supervisor_pid": pid, "workers": len(workers), "models": items}


def _model(session: Session, name: str) -> dict[str, object]:
    """Print one model."""
    app, console = session.app, session.console
    status: DeploymentStatus = app.deployer.status(name)
    health: DeploymentHealth = app.monitor.headline(name)
    alerts = app.metadata.read(lambda tx: tx.list(Alert, where={"deployment": name, "closed_at": None}))
    console.data("")
    live = status.deployment.champion
    console.data(f"{name}@{live if live is not None else 'none'}  {console.paint(str(health.state))}")
    console.data(f"  what         {health.sentence}")
    if health.since is not None:
        console.data(f"  since        {health.since:%Y-%m-%d %H:%M} UTC")
    rollout = status.rollout
    if rollout is not None and not rollout.state.is_final:
        console.data(
            f"  rollout      version {rollout.candidate} {rollout.state}, {rollout.weight / 100:g} % of traffic. {rollout.reason}"
        )
    for hold in status.holds:
        console.data(f"  on hold      version {hold.number}: {hold.reason} ({hold.id})")
    for alert in alerts:
        console.data(f"  {alert.severity!s:12} {alert.headline} (`kilter explain {alert.id}`)")
    if health.state is not HealthState.FINE or health.next_step:
        console.data(f"  what to do   {health.next_step}")
    return {"status": status, "health": health, "alerts": alerts}
