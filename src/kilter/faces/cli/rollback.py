"""``kilter rollback``: back to the last good version, with or without the control plane."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kilter.errors import Conflict, EngineError, IntegrityError, NotFound, StoreError
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.contracts.deployment import Deployment
    from kilter.contracts.plan import DeploymentStatus
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_SETTLE_S = 10.0
_POLL_S = 0.02


@verb("rollback")
@click.argument("model", required=False)
@click.option("--to", type=int, metavar="VERSION", help="Version to go back to; default the last good one.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the audit log.")
def command(session: Session, *, model: str | None, to: int | None, reason: str) -> int:
    """Go back now: an open rollout is ended, or the previous version answers again.

    Needs neither dashboard nor control plane. If the database cannot be used either, the route table
    alone is changed, and the control plane records it when it returns.
    """
    try:
        name = session.deployment(model)
        before = session.app.deployer.status(name)
        deployment = session.app.deployer.rollback(name, to=to, by=session.who, reason=reason)
    except (StoreError, IntegrityError) as error:
        session.console.warn(f"the database cannot be used ({error.message}); changing the route table alone")
        return _by_route(session, model, to, reason)
    table = session.app.routes.proposed() or session.app.routes.live()
    generation = 0 if table is None else table.generation
    _wait(session, generation)
    answers = "answers" if session.app.board.supervisor_pid() is not None else "will answer"
    session.console.data(f"{name}: version {deployment.champion} {answers} (generation {generation})")
    session.console.undo(_inverse(session, before, deployment))
    session.console.finish(deployment)
    return 0


def _inverse(session: Session, before: DeploymentStatus, after: Deployment) -> str:
    """Return what takes the rollback back: the other champion, or the candidate tried once more."""
    if before.deployment.champion != after.champion:
        return f"kilter rollback {after.id} --to {before.deployment.champion} --reason TEXT"
    holds = session.app.deployer.status(after.id).holds
    candidate = before.rollout.candidate if before.rollout is not None else None
    hold = next((one for one in reversed(holds) if one.number == candidate), None)
    override = f" --override {hold.id} --reason TEXT" if hold is not None else ""
    return f"kilter apply {after.id}{override}"


def _by_route(session: Session, model: str | None, to: int | None, reason: str) -> int:
    """Change the route table without the database."""
    from kilter.policy.routing import rolled_back

    routes, board = session.app.routes, session.app.board
    live = routes.live()
    if live is None or not live.routes:
        msg = "nothing is being served"
        raise NotFound(msg, hint="start with `kilter up`")
    if model is None and len(live.routes) > 1:
        msg = f"name one of {len(live.routes)} models"
        raise NotFound(msg, hint="use " + " or ".join(f"`{route.deployment}`" for route in live.routes[:5]))
    name = model.split("@")[0] if model is not None else live.routes[0].deployment
    table = rolled_back(live, name, session.app.machine.now(), reason)
    route = table.route(name)
    version = None if route is None else route.champion.version
    if to is not None and to != version:
        msg = f"without the database only version {version} can answer, not {to}"
        raise Conflict(msg, hint=f"run `kilter rollback {name} --reason TEXT` without `--to`")
    waiting = routes.proposed()
    if waiting is not None:
        routes.settle(waiting.generation, refused="superseded by a rollback")
    routes.propose(table)
    if board.supervisor_pid() is None:
        routes.settle(table.generation)
    _wait(session, table.generation)
    session.console.data(f"{name}: version {version} answers (generation {table.generation})")
    session.console.undo(f"none until the database is back; then `kilter status {name}` says what can be done")
    session.console.finish({"deployment": name, "champion": version, "generation": table.generation})
    return 0


def _wait(session: Session, generation: int) -> None:
    """Wait until every serving process answers by the new table."""
    board = session.app.board
    until = time.monotonic() + _SETTLE_S
    while board.supervisor_pid() is not None:
        statuses = board.statuses()
        if statuses and all(status.generation >= generation for status in statuses):
            return
        refusal = session.app.routes.refusal()
        if refusal is not None and refusal[0] == generation:
            msg = "the serving processes refused it"
            raise EngineError(msg, why=refusal[1], hint="look at the models with `kilter doctor`")
        if time.monotonic() >= until:
            msg = f"not every serving process has taken generation {generation} after {_SETTLE_S:g} s"
            raise EngineError(msg, hint="look at `kilter status`; stopped processes take it when they start")
        time.sleep(_POLL_S)
