"""``kilter explain``: why a prediction, an alert, a gate run, a rollout or a decision."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import click

from kilter.contracts.decision import Decision
from kilter.contracts.monitor import Alert
from kilter.contracts.rollout import Rollout, RolloutStep
from kilter.contracts.verdict import CheckRun
from kilter.errors import InvalidRequest, NotFound
from kilter.faces.cli.check import render
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.control.lookup import FoundPrediction
    from kilter.faces.cli.session import Session

__all__ = ["command"]

Kind = TypeVar("Kind", Alert, CheckRun, Rollout, Decision)

_TIME = "%Y-%m-%d %H:%M"
_MOST_LOG = 700.0


@verb("explain")
@click.argument("words", nargs=-1, required=True, metavar="ID | NOUN MODEL")
def command(session: Session, *, words: tuple[str, ...]) -> int:
    """Explain an id: of a prediction, an alert, a gate run, a rollout or a decision.

    `kilter explain alert MODEL` explains the newest alert of a model; likewise `gate`, `rollout` and
    `decision`.
    """
    if len(words) > 2:
        msg = f"one thing is explained at a time, not {len(words)}"
        raise InvalidRequest(msg, hint="use `kilter explain ID` or `kilter explain alert MODEL`")
    name = _newest(session, words[0], words[1]) if len(words) == 2 else words[0]
    kinds: dict[str, Callable[[Session, str], object]] = {
        "alert": _alert,
        "check": _gate,
        "ro": _rollout,
        "dec": _decision,
    }
    session.console.finish(kinds.get(name.partition("_")[0], _prediction)(session, name))
    return 0


def _newest(session: Session, noun: str, name: str) -> str:
    """Return the id that ``alert churn`` stands for; a second word that is an id is taken as it is."""
    kinds: dict[str, tuple[type[Alert | CheckRun | Rollout | Decision], str]] = {
        "alert": (Alert, "deployment"),
        "gate": (CheckRun, "model_name"),
        "rollout": (Rollout, "deployment"),
        "decision": (Decision, "deployment"),
    }
    if noun not in kinds:
        msg = f"nothing of the kind `{noun}` can be explained"
        raise InvalidRequest(msg, hint="use `alert`, `gate`, `rollout` or `decision` before the model's name")
    if "_" in name:
        return name
    kind, field = kinds[noun]
    deployment = session.deployment(name)
    found = session.app.metadata.read(lambda tx: tx.list(kind, where={field: deployment}, newest_first=True, limit=1))
    if not found:
        msg = f"{deployment} has no {noun} yet"
        raise NotFound(msg, hint=f"see `kilter status {deployment}`")
    return str(found[0].id)


def _required(session: Session, kind: type[Kind], name: str, noun: str) -> Kind:
    """Return a record that has to be there."""
    found = session.app.metadata.read(lambda tx: tx.get(kind, name))
    if found is None:
        msg = f"there is no {noun} `{name}`"
        raise NotFound(msg, hint="find ids with `kilter status`")
    return found


def _alert(session: Session, name: str) -> Alert:
    """Say what an alert means."""
    found, console = _required(session, Alert, name, "alert"), session.console
    evidence, limit = (math.exp(min(log, _MOST_LOG)) for log in (found.log_evidence, found.log_threshold))
    console.data(f"{found.severity}: {found.headline}")
    console.data(f"  model        {found.deployment}@{found.number}, {found.family.replace('_', ' ')}")
    console.data(f"  since        {found.since:{_TIME}} UTC (window {found.window})")
    console.data(
        f"  evidence     {evidence:.3g}, above the limit {limit:.3g} that keeps false alarms within the budget"
    )
    for cause in found.causes:
        console.data(f"  moved        {cause}")
    console.data(f"  suggestion   {found.suggestion}")
    decisions = session.app.metadata.read(lambda tx: tx.list(Decision, where={"deployment": found.deployment}))
    for decision in decisions:
        if name in decision.evidence:
            console.data(f"  kilter did   {decision.reason}")
    if found.closed_at is not None:
        console.data(f"  closed       {found.closed_at:{_TIME}} UTC: {found.closed_reason}")
    return found


def _gate(session: Session, name: str) -> CheckRun:
    """Show a gate run again."""
    found = _required(session, CheckRun, name, "gate run")
    render(session, found)
    return found


def _rollout(session: Session, name: str) -> dict[str, object]:
    """Tell the story of a rollout."""
    found, console = _required(session, Rollout, name, "rollout"), session.console
    steps = session.app.metadata.read(lambda tx: tx.list(RolloutStep, where={"rollout_id": name}))
    state = found.state.replace("_", " ")
    console.data(f"{found.deployment}: version {found.candidate} against {found.champion}, {state}")
    for step in steps:
        states = f"{step.from_state or 'start'} to {step.to_state}".replace("_", " ")
        console.data(f"  {step.at:{_TIME}}  {states}, {step.weight / 100:g} % of traffic: {step.reason}")
    return {"rollout": found, "steps": steps}


def _decision(session: Session, name: str) -> Decision:
    """Say why something was decided."""
    found, console = _required(session, Decision, name, "decision"), session.console
    console.data(f"{found.kind} for {found.deployment}: {found.reason}")
    console.data(f"  by           {found.by}, {found.at:{_TIME}} UTC")
    for evidence in found.evidence:
        console.data(f"  evidence     `kilter explain {evidence}`")
    return found


def _prediction(session: Session, name: str) -> FoundPrediction:
    """Show one logged prediction."""
    found, console = _found(session, name), session.console
    console.data(f"prediction     {found.id}")
    console.data(f"answered       {found.at:%Y-%m-%d %H:%M:%S} UTC in {found.total_us / 1000:.1f} ms")
    console.data(f"model          {found.deployment}@{found.version}, {found.arm} (chance {found.propensity:g})")
    if found.error_code:
        console.data(f"failed         {found.error_code} (docs/errors/{found.error_code}.md)")
    for row in found.found:
        console.data(f"\n{row.id}" if found.rows > 1 else "")
        scores = [f"{score:.4g}" for score in row.scores]
        if found.classes:
            scores = [f"{label} {score}" for label, score in zip(found.classes, scores, strict=False)]
        console.data(
            f"  answer       {row.answer} ({', '.join(scores)})" if found.classes else f"  answer       {scores[0]}"
        )
        truth = "not known yet" if row.label is None else row.label
        when = f" (received {row.labelled_at:{_TIME}} UTC)" if row.labelled_at is not None else ""
        console.data(f"  truth        {truth}{when}")
        width = max((len(column) for column in row.inputs), default=0)
        for column, value in row.inputs.items():
            shown = "missing" if value is None else f"{value:g}" if isinstance(value, float) else value
            console.data(f"  {column.ljust(width)}  {shown}")
    if found.rows > len(found.found) > 0:
        console.note(f"{len(found.found)} of {found.rows} rows shown; name one as `{found.id}:ROW`")
    return found


def _found(session: Session, name: str) -> FoundPrediction:
    """Look a prediction up; what is not in the table yet is collected first."""
    from kilter.control.lookup import Lookup

    app = session.app
    lookup = Lookup(metadata=app.metadata, table=app.table)
    try:
        return lookup.find(name)
    except NotFound:
        app.collector.collect(app.clock.now())
    try:
        return lookup.find(name)
    except NotFound as error:
        msg = f"no prediction, alert, gate run, rollout or decision has the id `{name}`"
        raise NotFound(msg, hint="copy the id from an answer of /predict, or from `kilter status`") from error
