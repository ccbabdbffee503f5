"""``kilter apply``: carry out what kilter.toml, or a saved plan, says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from kilter.contracts.rollout import Rollout, RolloutState
from kilter.errors import InvalidRequest, KilterError
from kilter.faces.cli.errors import ANSWER_IS_NO, COULD_NOT, DONE, PERSON_NEEDED, exit_code, worst
from kilter.faces.cli.plan import render
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.contracts.plan import Applied
    from kilter.faces.cli.session import Session

__all__ = ["command"]

_POLL_S = 0.5


class _Time(click.ParamType[float]):
    """A duration such as ``30m``, or seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        from kilter.settings.value import duration

        try:
            text = str(value)
            return float(text) if text.replace(".", "", 1).isdigit() else float(str(duration(text)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@verb("apply")
@click.argument("plan", required=False)
@click.option("--override", default="", metavar="HOLD", help="Hold to release, or `gates`; needs --reason.")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the audit log.")
@click.option("--wait", "wait_s", type=_Time(), help="Wait for the rollout to end, such as 30m.")
def command(session: Session, *, plan: str | None, override: str, reason: str, wait_s: float | None) -> int:
    """Carry out PLAN: a saved plan, or the name of a model; default everything in kilter.toml.

    Exit code 0: done. 1: refused, or the live state is not the plan's. 3: the gates do not decide. 4: a
    person must look.
    """
    if override and not reason:
        msg = "an override needs a reason"
        raise InvalidRequest(msg, hint="add `--reason TEXT`; it is kept in the audit log")
    hashes = _saved(plan) if plan and Path(plan).is_file() else {}
    names = list(hashes) if hashes else [plan] if plan else [spec.model.name for spec in session.settings.deployments]
    if not names:
        msg = "kilter.toml names no model"
        raise InvalidRequest(msg, hint="run `kilter add MODEL --data REF --target COL`")
    done: list[Applied] = []
    codes: list[int] = []
    for name in names:
        try:
            applied = _apply(session, name, hashes.get(name, ""), (override, reason))
        except KilterError as error:
            if len(names) == 1:
                raise
            codes.append(exit_code(error))
            session.console.warn(f"{name}: {error.message}; {error.hint or 'nothing was changed'}")
            continue
        done.append(applied)
        if applied.rollout_id:
            codes.append(_wait(session, applied.rollout_id, wait_s))
    code = worst(codes)
    session.console.finish({"applied": done}, ok=code == DONE)
    return code


def _apply(session: Session, name: str, plan_hash: str, because: tuple[str, str]) -> Applied:
    """Carry out one deployment's plan and print what came of it; because: override and reason."""
    spec, console = session.spec(name), session.console
    override, reason = because
    if not plan_hash:
        shown = session.app.deployer.plan(spec)
        render(session, shown)
        if not shown.is_empty:
            session.confirm(f"Carry this out for {name}?")
        plan_hash = shown.hash
    deployer = session.app.deployer
    before = session.deployed(name)
    applied = deployer.apply(spec, by=session.who, override=override, reason=reason, plan_hash=plan_hash)
    if applied.outcome != "unchanged":
        message = f": {applied.message}" if applied.message else ""
        console.data(f"{name}: {applied.outcome.replace('_', ' ')}, version {applied.number}{message}")
    if applied.rollout_id:
        console.undo(f"kilter rollback {name} --reason TEXT")
    elif applied.outcome == "deployed":
        console.undo("none, the first version has nothing before it; stop serving with Ctrl-C in `kilter up`")
    elif applied.outcome == "configured" and before is not None:
        console.undo("put the old settings back into kilter.toml, then `kilter apply`")
    return applied


def _saved(path: str) -> dict[str, str]:
    """Read a saved plan."""
    try:
        content = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, str | dict[str, str]])
    except (OSError, msgspec.MsgspecError) as error:
        msg = f"`{path}` is no saved plan"
        raise InvalidRequest(msg, why=str(error), hint="make one with `kilter plan --out FILE`") from error
    plans = content.get("plans")
    if content.get("schema") != "kilter.plan/1" or not isinstance(plans, dict):
        msg = f"`{path}` is no saved plan"
        raise InvalidRequest(msg, hint="make one with `kilter plan --out FILE`")
    return plans


def _wait(session: Session, rollout_id: str, wait_s: float | None) -> int:
    """Wait for a rollout to end, if that was asked for."""
    if wait_s is None:
        return DONE
    until = time.monotonic() + wait_s
    while True:
        rollout = session.app.metadata.read(lambda tx: tx.get(Rollout, rollout_id))
        if rollout is not None and rollout.state.is_final:
            session.console.data(f"rollout {rollout.state.replace('_', ' ')}: {rollout.reason}")
            return DONE if rollout.state is RolloutState.DONE else ANSWER_IS_NO
        if rollout is not None and rollout.state is RolloutState.HELD:
            session.console.data(f"rollout held: {rollout.reason}")
            return PERSON_NEEDED
        if time.monotonic() >= until:
            session.console.warn(f"the rollout has not ended after {wait_s:g} s; it goes on")
            return COULD_NOT
        time.sleep(min(_POLL_S, max(0.0, until - time.monotonic())))
