"""``kilter explain``: why a prediction, an alert, a gate, a rollout or a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np

from kilter.contracts.decision import Decision
from kilter.contracts.log import LogPart
from kilter.contracts.monitor import Alert
from kilter.contracts.rollout import Rollout, RolloutStep
from kilter.contracts.signature import Task
from kilter.contracts.verdict import CheckRun
from kilter.errors import NotFound
from kilter.faces.cli.check import render
from kilter.faces.cli.verb import verb

if TYPE_CHECKING:
    from kilter.contracts.prediction import PredictionRecord
    from kilter.faces.cli.session import Session

__all__ = ["command"]


@verb("explain")
@click.argument("words", nargs=-1, required=True)
def command(session: Session, *, words: tuple[str, ...]) -> int:
    """Explain an id: a prediction, an alert, a gate run, a rollout or a decision.

    `kilter explain alert MODEL` explains the newest alert of a model, and likewise `gate` and
    `rollout`.
    """
    name = _newest(session, words[0], words[1]) if len(words) > 1 else words[0]
    kinds = {"alert_": _alert, "check_": _gate, "rollout_": _rollout, "dec_": _decision}
    for prefix, explain in kinds.items():
        if name.startswith(prefix):
            session.console.finish(explain(session, name))
            return 0
    session.console.finish(_prediction(session, name))
    return 0


def _newest(session: Session, noun: str, name: str) -> str:
    """Return the id that ``alert churn`` stands for; a second word that is an id is taken as it is."""
    kinds: dict[str, tuple[type[Alert | CheckRun | Rollout], str]] = {
        "alert": (Alert, "deployment"),
        "gate": (CheckRun, "model_name"),
        "rollout": (Rollout, "deployment"),
    }
    if noun not in kinds:
        msg = f"nothing of the kind `{noun}` can be explained"
        raise NotFound(msg, hint="use `alert`, `gate` or `rollout`")
    if "_" in name:
        return name
    kind, field = kinds[noun]
    deployment = session.deployment(name)
    found = session.app.metadata.read(lambda tx: tx.list(kind, where={field: deployment}, newest_first=True, limit=1))
    if not found:
        msg = f"{deployment} has no {noun} yet"
        raise NotFound(msg, hint=f"see `kilter status {deployment}`")
    return str(found[0].id)


def _alert(session: Session, name: str) -> Alert:
    """Say what an alert means."""
    found = session.app.metadata.read(lambda tx: tx.get(Alert, name))
    if found is None:
        msg = f"there is no alert `{name}`"
        raise NotFound(msg, hint="list them with `kilter status`")
    console = session.console
    console.data(f"{found.severity}: {found.headline}")
    console.data(f"  model        {found.deployment}@{found.number}, {found.family.replace('_', ' ')}")
    console.data(f"  since        {found.since:%Y-%m-%d %H:%M} UTC (window {found.window})")
    console.data(
        f"  evidence     {np.exp(min(found.log_evidence, 700.0)):.3g} against the limit {np.exp(found.log_threshold):.3g}"
        " that keeps false alarms within the budget"
    )
    for cause in found.causes:
        console.data(f"  moved        {cause}")
    console.data(f"  suggestion   {found.suggestion}")
    decisions = session.app.metadata.read(lambda tx: tx.list(Decision, where={"deployment": found.deployment}))
    for decision in decisions:
        if name in decision.evidence:
            console.data(f"  kilter did   {decision.reason}")
    if found.closed_at is not None:
        console.data(f"  closed       {found.closed_at:%Y-%m-%d %H:%M} UTC: {found.closed_reason}")
    return found


def _gate(session: Session, name: str) -> CheckRun:
    """Show a gate run again."""
    found = session.app.metadata.read(lambda tx: tx.get(CheckRun, name))
    if found is None:
        msg = f"there is no gate run `{name}`"
        raise NotFound(msg, hint="make one with `kilter check`")
    render(session, found)
    return found


def _rollout(session: Session, name: str) -> dict[str, object]:
    """Tell the story of a rollout."""
    found = session.app.metadata.read(lambda tx: tx.get(Rollout, name))
    if found is None:
        msg = f"there is no rollout `{name}`"
        raise NotFound(msg, hint="see `kilter status`")
    steps = session.app.metadata.read(lambda tx: tx.list(RolloutStep, where={"rollout_id": name}))
    console = session.console
    console.data(f"{found.deployment}: version {found.candidate} against {found.champion}, {found.state}")
    for step in steps:
        console.data(
            f"  {step.at:%Y-%m-%d %H:%M}  {step.from_state or '-'} -> {step.to_state}, "
            f"{step.weight / 100:g} % of traffic: {step.reason}"
        )
    return {"rollout": found, "steps": steps}


def _decision(session: Session, name: str) -> Decision:
    """Say why something was decided."""
    found = session.app.metadata.read(lambda tx: tx.get(Decision, name))
    if found is None:
        msg = f"there is no decision `{name}`"
        raise NotFound(msg)
    session.console.data(f"{found.kind} for {found.deployment}: {found.reason}")
    session.console.data(f"  by           {found.by}, {found.at:%Y-%m-%d %H:%M} UTC")
    for evidence in found.evidence:
        session.console.data(f"  evidence     `kilter explain {evidence}`")
    return found


def _prediction(session: Session, name: str) -> dict[str, object]:
    """Show one logged prediction."""
    app = session.app
    app.collector.collect(app.clock.now())
    parts = app.metadata.read(lambda tx: tx.list(LogPart, limit=5_000))
    record = app.table.find(parts, name)
    if record is None:
        msg = f"no prediction, alert, gate run, rollout or decision has the id `{name}`"
        raise NotFound(
            msg,
            hint="copy the id from an answer of /predict, or from `kilter status`",
        )
    shown = _shown(session, record)
    for key, value in shown.items():
        session.console.data(f"{key.replace('_', ' '):14} {value}")
    return shown


def _shown(session: Session, record: PredictionRecord) -> dict[str, object]:
    """Return a record's facts in readable form."""
    version = session.app.registry.resolve(f"{record.deployment}@{record.version}")
    signature = version.manifest.signature
    numeric = np.frombuffer(record.numeric).reshape(record.rows, -1)
    outputs = np.frombuffer(record.outputs or record.raw).reshape(record.rows, -1)
    width = len(signature.text_names)
    inputs: dict[str, object] = {name: float(numeric[0, i]) for i, name in enumerate(signature.numeric_names)}
    inputs |= {name: record.text[i] for i, name in enumerate(signature.text_names) if i < width}
    if signature.task is Task.REGRESSION:
        answer: object = float(outputs[0, 0]) if outputs.size else None
    else:
        answer = {name: round(float(p), 6) for name, p in zip(signature.classes, outputs[0], strict=False)}
    when = np.datetime64(record.ts_ns, "ns").astype("datetime64[s]")
    return {
        "prediction_id": record.prediction_id,
        "answered_at": f"{when}Z",
        "model": f"{record.deployment}@{record.version}",
        "arm": f"{record.arm} (chance of this arm {record.propensity:g})",
        "rows": record.rows,
        "inputs": inputs,
        "answer": answer,
        "milliseconds": record.total_us / 1000,
        "error": record.error_code or None,
    }
