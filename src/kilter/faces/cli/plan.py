"""``kilter plan``: the difference between what is wanted and what is live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from kilter.errors import StoreError
from kilter.faces.cli.errors import ANSWER_IS_NO, DONE
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.contracts.plan import Plan
    from kilter.faces.cli.session import Session

__all__ = ["command", "render"]


@verb("plan")
@click.argument("model", required=False)
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan; `kilter apply FILE` carries it out.")
@click.option("--exit-code", "as_exit_code", is_flag=True, help="Exit with 1 if there is a difference.")
def command(session: Session, *, model: str | None, out: str | None, as_exit_code: bool) -> int:
    """Show what `kilter apply` would do for MODEL, and change nothing; default every model of kilter.toml."""
    names = [model] if model else [spec.model.name for spec in session.settings.deployments]
    plans = [session.app.deployer.plan(session.spec(name)) for name in names]
    for plan in plans:
        render(session, plan)
    if not plans:
        session.console.data("kilter.toml names no model: nothing to do")
    if out:
        saved = {"schema": "kilter.plan/1", "plans": {plan.deployment: plan.hash for plan in plans}}
        try:
            Path(out).write_bytes(msgspec.json.encode(saved))
        except OSError as error:
            msg = f"`{out}` cannot be written: {error.strerror}"
            raise StoreError(msg, where=out, hint="choose another file with `--out`") from error
        session.console.note(f"saved {out}: carry it out with `kilter apply {out}`")
    session.console.finish({"plans": plans})
    differs = any(not plan.is_empty for plan in plans)
    return ANSWER_IS_NO if as_exit_code and differs else DONE


def render(session: Session, plan: Plan) -> None:
    """Print a plan's actions with reason, risk and way back."""
    console = session.console
    if plan.is_empty:
        console.data(f"{plan.deployment}: no difference")
    for number, action in enumerate(plan.actions, start=1):
        console.data(f"{plan.deployment} {number}. {action.kind} {action.subject}")
        for word, text in (("because", action.reason), ("risk", action.risk), ("back", action.reversal)):
            if text:
                console.data(f"     {word:8} {text}")
