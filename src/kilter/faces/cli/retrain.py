"""``kilter retrain``: recalibrate, or train afresh; the result is checked and rolled out, never just swapped in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]


@verb("retrain")
@click.argument("model", required=False)
@click.option(
    "--how",
    type=click.Choice(["recalibrate", "refit"]),
    default="refit",
    show_default=True,
    help="Correct the probabilities, or call the training function of kilter.toml.",
)
@click.option("--reason", default="asked for on the command line", help="Why; kept in the audit log.")
def command(session: Session, *, model: str | None, how: str, reason: str) -> int:
    """Ask for a repair of MODEL; the control loop carries it out."""
    name = session.deployment(model)
    session.app.collector.collect(session.app.clock.now())  # labels sent a moment ago count
    if how == "recalibrate":
        decision = session.app.retrainer.recalibrate(name, by=session.who)
        session.console.data(f"{name}: {decision.reason}")
        session.console.note(f"follow it with `kilter status {name}`")
        session.console.finish(decision)
        return 0
    trigger = session.app.retrainer.retrain(name, by=session.who, reason=reason)
    session.console.data(f"{name}: retraining {trigger.state} ({trigger.id})")
    session.console.note(f"follow it with `kilter status {name}`")
    session.console.undo(f"kilter rollback {name} --reason TEXT, once a rollout of the result has begun")
    session.console.finish(trigger)
    return 0
