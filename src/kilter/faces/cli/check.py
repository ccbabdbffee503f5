"""``kilter check``: run the gates; the exit code is the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kilter.contracts.verdict import CheckRun, OnFail, VerdictState
from kilter.errors import InvalidRequest
from kilter.faces.cli.errors import ANSWER_IS_NO, COULD_NOT, DONE, PERSON_NEEDED
from kilter.faces.cli.verb import verb
from kilter.policy.verdicts import awaits_review

if TYPE_CHECKING:
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.verdict import Verdict
    from kilter.faces.cli.session import Session

__all__ = ["command", "exit_code", "render"]

_ORDER = (VerdictState.FAIL, VerdictState.ERROR, VerdictState.INCONCLUSIVE, VerdictState.PASS)


@verb("check")
@click.argument("reference", required=False)
@click.option("--data", "data_path", help="Held-out table; default the holdout of kilter.toml, else its reference.")
@click.option("--baseline", help="Version to compare with, such as churn@live; default the live one.")
def command(session: Session, *, reference: str | None, data_path: str | None, baseline: str | None) -> int:
    """Run the gates on REFERENCE (a model or version; default the newest of the only model).

    Exit code 0: passed. 1: a blocking gate failed. 3: the data does not decide. 4: a person must look.
    """
    from pathlib import Path

    app = session.app
    name = session.deployment(reference)
    spec = session.settings.deployment(name)
    path = data_path or (spec.data.holdout or spec.data.reference if spec else "")
    if not path:
        msg = "no data to check on"
        raise InvalidRequest(msg, hint="add `--data FILE`, or `[data] holdout` in kilter.toml")
    version = app.registry.resolve(reference or name)
    run = app.evaluator.check(
        version,
        data_path=str(Path(path).absolute()),
        rules=spec.gates if spec else (),
        baseline=app.registry.resolve(baseline) if baseline else _live(session, name, version.number),
        by=session.who,
        progress=session.console.progress,
    )
    render(session, run)
    code = exit_code(run)
    session.console.finish(run, ok=code == DONE)
    return code


def _live(session: Session, name: str, number: int) -> ModelVersion | None:
    """Return the version that serves now, unless it is the one that is checked."""
    live = session.deployed(name)
    if live is None or live.champion in (None, number):
        return None
    return session.app.registry.resolve(f"{name}@{live.champion}")


def exit_code(run: CheckRun) -> int:
    """Return the exit code that stands for a run: no, could not find out, waiting for a person, yes."""
    if awaits_review(run.verdicts):
        return PERSON_NEEDED
    if run.state is VerdictState.FAIL:
        return ANSWER_IS_NO
    if run.state is not VerdictState.PASS:
        return COULD_NOT
    return DONE


def render(session: Session, run: CheckRun) -> None:
    """Print every gate, worst first, and one line that sums up."""
    console = session.console
    for verdict in sorted(run.verdicts, key=lambda one: (_ORDER.index(one.state), one.gate)):
        console.data(f"{_mark(session, verdict)}  {verdict.gate}: {verdict.reason}")
    answer = {
        VerdictState.PASS: "passes its gates",
        VerdictState.FAIL: "fails",
        VerdictState.INCONCLUSIVE: "cannot be judged on this data",
        VerdictState.ERROR: "could not be checked",
    }[run.state]
    console.data(f"{run.model_name}@{run.number} {answer} on {run.data_name} ({run.rows:,} rows, {run.seconds:.1f} s)")


def _mark(session: Session, verdict: Verdict) -> str:
    """Return the word in front of a gate, padded."""
    word = str(verdict.state)
    if verdict.state is not VerdictState.PASS and verdict.on_fail is not OnFail.BLOCK:
        word = str(verdict.on_fail)
    return session.console.paint(word, word.ljust(12))
