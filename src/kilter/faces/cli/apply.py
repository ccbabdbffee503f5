"""``kilter apply``: carry out what kilter.toml, or a saved plan, says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from kilter.contracts.rollout import Rollout, RolloutState
from kilter.errors import InvalidRequest
from kilter.faces.cli.errors import ANSWER_IS_NO, COULD_NOT, DONE, PERSON_NEEDED
from kilter.faces.cli.plan import render
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_POLL_S = 0.5


@verb("apply")
@click.argument("plan", required=False)
@click.option("--override", default="", help="Id of the hold to override; needs --reason.")
@click.option("--reason", default="", help="Why; kept in the audit log.")
@click.option("--wait", "wait_s", type=float, help="Wait up to this many seconds for a rollout to end.")
def command(session: Session, *, plan: str | None, override: str, reason: str, wait_s: float | None) -> int:
    """Carry out PLAN (a saved plan, or the name of a model; default everything in kilter.toml)."""
    hashes = _saved(plan) if plan and Path(plan).is_file() else {}
    names = list(hashes) if hashes else [plan] if plan else [spec.model.name for spec in session.settings.deployments]
    if not names:
        msg = "kilter.toml names no model"
        raise InvalidRequest(msg, hint="run `kilter add MODEL --data REF --target COL`")
    done, code = [], DONE
    for name in names:
        spec = session.spec(name)
        if not hashes:
            shown = session.app.deployer.plan(spec)
            render(session, shown)
            if shown.is_empty:
                continue
            session.confirm(f"Carry this out for {name}?")
        applied = session.app.deployer.apply(
            spec, by=session.who, override=override, reason=reason, plan_hash=hashes.get(name, "")
        )
        done.append(applied)
        session.console.data(
            f"{name}: {applied.outcome.replace('_', ' ')}, version {applied.number}. {applied.message}"
        )
        if applied.rollout_id:
            session.console.undo(f"kilter rollback {name} --reason TEXT")
            code = max(code, _wait(session, applied.rollout_id, wait_s))
    session.console.finish({"applied": done}, ok=code == DONE)
    return code


def _saved(path: str) -> dict[str, str]:
    """Read a saved plan."""
    try:
        content = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, str | dict[str, str]])
    except (OSError, msgspec.MsgspecError) as error:
        msg = f"`{path}` is no saved plan: {error}"
        raise InvalidRequest(msg, where=path, hint="make one with `kilter plan --out FILE`") from error
    plans = content.get("plans")
    if content.get("schema") != "kilter.plan/1" or not isinstance(plans, dict):
        msg = f"`{path}` is no saved plan"
        raise InvalidRequest(msg, where=path, hint="make one with `kilter plan --out FILE`")
    return plans


def _wait(session: Session, rollout_id: str, wait_s: float | None) -> int:
    """Wait for a rollout to end, if that was asked for."""
    if wait_s is None:
        return DONE
    until = time.monotonic() + wait_s
    while True:
        rollout = session.app.metadata.read(lambda tx: tx.get(Rollout, rollout_id))
        if rollout is not None and rollout.state.is_final:
            session.console.data(f"rollout {rollout.state}: {rollout.reason}")
            return DONE if rollout.state is RolloutState.DONE else ANSWER_IS_NO
        if rollout is not None and rollout.state is RolloutState.HELD:
            session.console.data(f"rollout held: {rollout.reason}")
            return PERSON_NEEDED
        if time.monotonic() >= until:
            session.console.warn(f"the rollout has not ended after {wait_s:g} s; it goes on")
            return COULD_NOT
        time.sleep(_POLL_S)
