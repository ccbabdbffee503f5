"""``kilter promote``: give the candidate of an open rollout all traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]


@verb("promote")
@click.argument("model", required=False)
@click.option("--reason", default="", help="Why; kept in the audit log.")
def command(session: Session, *, model: str | None, reason: str) -> int:
    """Give the candidate of MODEL's rollout all traffic now, without waiting for the evidence."""
    name = session.deployment(model)
    session.confirm(f"Give the candidate of {name} all traffic without waiting for the evidence?")
    rollout = session.app.deployer.promote(name, by=session.who, reason=reason)
    state = rollout.state.replace("_", " ")
    share = f"{rollout.weight / 100:g} % of traffic"
    session.console.data(f"{name}: version {rollout.candidate} {state}, {share}: {rollout.reason}")
    session.console.undo(f"kilter rollback {name} --reason TEXT")
    session.console.finish(rollout)
    return 0
