"""``kilter status``: one screen of what, since when, and what to do."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click

from kilter.control.status import StatusReader
from kilter.errors import KilterError
from kilter.faces.cli.errors import DONE
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.control.status import StatusItem
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_WATCH_S = 2.0


@verb("status")
@click.argument("model", required=False)
@click.option("--watch", is_flag=True, help="Draw again every two seconds until interrupted.")
def command(session: Session, *, model: str | None, watch: bool) -> int:
    """Say what is served, how it is doing, since when, and what to do next."""
    if session.app.board.supervisor_pid() is not None:
        with contextlib.suppress(KilterError):  # then what the control loop saw last is shown
            session.app.collector.collect(session.app.clock.now())
    while True:
        shown = _screen(session, model)
        session.console.finish(shown)
        if not watch:
            return DONE
        time.sleep(_WATCH_S)
        click.clear()


def _screen(session: Session, model: str | None) -> dict[str, object]:
    """Print the state of the planes and of every model."""
    app, console = session.app, session.console
    name = session.deployment(model) if model is not None else None
    pid = app.board.supervisor_pid()
    workers = [status for status in app.board.statuses() if status.generation] if pid is not None else []
    if pid is None:
        console.data("serving        stopped; start it with `kilter up`")
    else:
        plural = "" if len(workers) == 1 else "es"
        (host, port), (web_host, web_port) = app.serving, session.dashboard
        console.data(f"serving        {len(workers)} process{plural} on http://{host}:{port}")
        console.data(f"dashboard      http://{web_host}:{web_port}")
    reader = StatusReader(metadata=app.metadata, monitor=app.monitor, deployer=app.deployer)
    items = [item for item in reader.every() if name in (None, item.deployment)]
    for item in items:
        _model(session, item)
    live = {item.deployment for item in items}
    wanted = [spec.model.name for spec in session.settings.deployments]
    waiting = [one for one in wanted if one not in live and name in (None, one)]
    for one in waiting:
        console.data(f"\n{one}  not deployed yet")
        console.data(f"  what to do   see its gates with `kilter check {one}`, serve it with `kilter up`")
    if not items and not waiting:
        console.data("no model yet: add one with `kilter add MODEL --data REF --target COL`")
    return {"supervisor_pid": pid, "processes": len(workers), "items": items, "not_deployed": waiting}


def _model(session: Session, item: StatusItem) -> None:
    """Print one deployment."""
    console = session.console
    live = f"{item.deployment}@{item.champion}" if item.champion is not None else item.deployment
    console.data(f"\n{live}  {console.paint(str(item.state))}")
    console.data(f"  what         {item.sentence}")
    if item.since is not None:
        console.data(f"  since        {item.since:%Y-%m-%d %H:%M} UTC")
    rollout = item.rollout
    if rollout is not None:
        text = f"version {rollout.candidate} {rollout.state.replace('_', ' ')}, {rollout.weight / 100:g} % of traffic"
        console.data(f"  rollout      {text}: {rollout.reason or 'just begun'} (`kilter explain {rollout.id}`)")
    if item.trigger is not None:
        console.data(f"  retraining   {item.trigger.state.replace('_', ' ')}: {item.trigger.reason}")
    for alert in item.alerts:
        console.data(f"  {alert.severity!s:12} {alert.headline} (`kilter explain {alert.id}`)")
    for hold in item.holds:
        console.data(f"  on hold      version {hold.number}: {hold.reason} ({hold.id})")
    if item.next_step:
        console.data(f"  what to do   {item.next_step}")
