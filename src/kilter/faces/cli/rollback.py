"""``kilter rollback``: back to the last good version, with or without the control plane."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kilter.errors import EngineError, NotFound, StoreError
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_SETTLE_S = 10.0


@verb("rollback")
@click.argument("model", required=False)
@click.option("--to", type=int, help="Version to go back to; default the last good one.")
@click.option("--reason", required=True, help="Why; kept in the audit log.")
def command(session: Session, *, model: str | None, to: int | None, reason: str) -> int:
    """Go back now: an open rollout is ended, or the previous version answers again.

    Needs neither dashboard nor control plane; if the database cannot be used either, the route table
    alone is changed and the record is made up when the control plane returns.
    """
    try:
        name = session.deployment(model)
        before = session.app.deployer.status(name).deployment.champion
        deployment = session.app.deployer.rollback(name, to=to, by=session.who, reason=reason)
    except StoreError as error:
        session.console.warn(f"the database cannot be used ({error.message}); changing the route table alone")
        return _by_route(session, model, reason)
    generation = deployment.generation
    _wait(session, generation)
    session.console.data(f"{name}: version {deployment.champion} answers (generation {generation})")
    session.console.undo(f"kilter rollback {name} --to {before} --reason TEXT")
    session.console.finish(deployment)
    return 0


def _by_route(session: Session, model: str | None, reason: str) -> int:
    """Change the route table without the database."""
    from kilter.policy.routing import rolled_back

    routes, board = session.app.routes, session.app.board
    live = routes.live()
    if live is None:
        msg = "nothing is being served"
        raise NotFound(msg, hint="start with `kilter up`")
    name = model or (live.routes[0].deployment if len(live.routes) == 1 else "")
    table = rolled_back(live, name, session.app.machine.now(), reason)
    routes.propose(table)
    if board.supervisor_pid() is None:
        routes.settle(table.generation)
    _wait(session, table.generation)
    session.console.data(f"{name}: rolled back (generation {table.generation})")
    session.console.finish({"deployment": name, "generation": table.generation})
    return 0


def _wait(session: Session, generation: int) -> None:
    """Wait until every serving process answers by the new table."""
    if session.app.board.supervisor_pid() is None:
        return
    until = time.monotonic() + _SETTLE_S
    while time.monotonic() < until:
        statuses = session.app.board.statuses()
        if statuses and all(status.generation >= generation for status in statuses):
            return
        refusal = session.app.routes.refusal()
        if refusal is not None and refusal[0] == generation:
            msg = f"the serving processes refused it: {refusal[1]}"
            raise EngineError(msg, hint="see `kilter doctor`")
        time.sleep(0.02)
    msg = f"not every serving process has taken generation {generation} after {_SETTLE_S:g} s"
    raise EngineError(
        msg,
        hint="see `kilter status`; stopped processes take it when they start",
    )
