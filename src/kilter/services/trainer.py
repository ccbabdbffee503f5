"""Retraining: the user's function is run on labelled rows, and its model is judged on newer ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from kilter.contracts.deployment import Deployment
from kilter.contracts.executor import TrainingTask
from kilter.contracts.ids import TriggerId
from kilter.contracts.log import LogPart, RowQuery
from kilter.contracts.monitor import Alert
from kilter.contracts.trigger import Trigger, TriggerState
from kilter.contracts.verdict import VerdictState
from kilter.errors import BackendError, Conflict, Inconclusive, InputError, InvalidRequest, NotFound, Refused
from kilter.measures.performance.loss import row_loss
from kilter.measures.rows import label_indexes
from kilter.policy.pairing import Comparison, Standing, compare, losses, scale_of
from kilter.policy.plan import objections
from kilter.policy.training import holdout_start, merged, only_labelled, training_columns

if TYPE_CHECKING:
    from kilter.contracts.decision import Decision
    from kilter.contracts.executor import Executor, TrainingOutcome
    from kilter.contracts.log import JoinedRows, PredictionTable
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.model import ModelVersion
    from kilter.contracts.rollout import RolloutStarter
    from kilter.contracts.scoring import Auditor, GateRunner, Scorer, VersionBook
    from kilter.contracts.signature import ColumnType, Signature
    from kilter.contracts.table import TableReader
    from kilter.measures.rows import FloatArray

    Detail = dict[str, str | int | float | bool | None]

__all__ = ["Trainer"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_BACK = timedelta(days=730)
_PAGE = 5_000
_FEWEST = 100
_BY = "retrainer"


class Trainer:
    """Implements ``Training``.

    Guarantees: each state of a request is committed before the next step is taken, and every step can be
    repeated, so a crash loses nothing and runs the function at most once at a time. A model that was
    trained is never promoted without gates, a comparison on newer rows, and either
    ``retrain.promote = "auto"`` or a person.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        table: PredictionTable,
        tables: TableReader,
        versions: VersionBook,
        scorer: Scorer,
        gates: GateRunner,
        executor: Executor,
        rollouts: RolloutStarter,
        auditor: Auditor,
        home: str,
        python_path: str = "",
    ) -> None:
        self._metadata = metadata
        self._table = table
        self._tables = tables
        self._versions = versions
        self._scorer = scorer
        self._gates = gates
        self._executor = executor
        self._rollouts = rollouts
        self._auditor = auditor
        self._folder = f"{home}/tmp"  # noqa: S108 - inside the home folder
        self._python_path = python_path

    def labels(self, deployment: str, now: datetime) -> int:
        """Count labelled rows since the champion's weights were registered.

        Parameters
        ----------
        deployment : str
            Its name.
        now : datetime
            Labels received later do not count.

        Returns
        -------
        int

        Raises
        ------
        NotFound
            If there is no such deployment.
        """
        state = self._deployment(deployment)
        version = self._version(state, state.champion or 0)
        while version.origin == "recalibrated" and version.parent_number is not None:
            version = self._version(state, version.parent_number)
        return self._labelled(deployment, version.created_at, now, with_columns=False).n

    def request(self, decision: Decision, *, now: datetime) -> Trigger:
        """Open a request for a decision.

        Parameters
        ----------
        decision : Decision
            Its id gives the request's id.
        now : datetime
            When.

        Returns
        -------
        Trigger
            The new request, the one of this decision, or the open one.

        Raises
        ------
        InvalidRequest
            If no training command is set.
        Inconclusive
            If there are too few labelled rows to learn from.
        """
        state = self._deployment(decision.deployment)
        trigger_id = TriggerId(f"trg_{decision.id.removeprefix('dec_')}")
        known = self._metadata.read(lambda tx: tx.get(Trigger, trigger_id) or _open(tx, state.id))
        if known is not None:
            return known
        spec = state.spec.retrain
        if ":" not in spec.command:
            message = f"no training function is set for `{state.id}`"
            raise InvalidRequest(
                message, where="retrain.command", hint="write `command = 'module:function'` under `[retrain]`"
            )
        rows = self._labelled(state.id, decision.at - _LOOK_BACK, decision.at, with_columns=False)
        if rows.n < _FEWEST:
            message = f"`{state.id}` has {rows.n} labelled rows, {_FEWEST} are needed to train and compare"
            raise Inconclusive(message, hint=f"send labels with `kilter feedback {state.id}`")
        times = np.asarray(rows.ts_ns)
        trigger = Trigger(
            id=trigger_id,
            deployment=state.id,
            parent=state.champion or 0,
            state=TriggerState.REQUESTED,
            reason=decision.reason,
            command=spec.command,
            data_from=_at(int(times[0])),
            holdout_from=_at(holdout_start(times)),
            data_to=decision.at,
            seed=crc32(trigger_id.encode()),
            requested_at=now,
            updated_at=now,
            deadline_at=now + timedelta(seconds=spec.deadline_s),
            is_manual=decision.by != "policy",
        )

        def write(tx: WriteTx) -> Trigger:
            first = tx.get(Trigger, trigger_id) or _open(tx, state.id)
            if first is not None:
                return first
            tx.add(trigger)
            detail: Detail = {"trigger": trigger.id, "decision": decision.id, "reason": trigger.reason}
            self._auditor.record(tx, by=decision.by, action="retrain.requested", subject=state.id, detail=detail)
            return trigger

        return self._metadata.write(write)

    def tick(self, deployment: str, now: datetime) -> Trigger | None:
        """Take the open request one step further.

        Parameters
        ----------
        deployment : str
            Its name.
        now : datetime
            The time of the tick.

        Returns
        -------
        Trigger or None
            After the step; None if no request is open.

        Raises
        ------
        StoreError
            If metadata or log cannot be reached.
        """
        trigger = self._metadata.read(lambda tx: _open(tx, deployment))
        if trigger is None:
            return None
        if trigger.state is TriggerState.REQUESTED:
            return self._submit(trigger, now)
        if trigger.state is TriggerState.RUNNING:
            return self._collect(trigger, now)
        return self._judge(trigger, now)

    def _submit(self, trigger: Trigger, now: datetime) -> Trigger:
        """Write the training rows and start the function; both may be repeated."""
        state = self._deployment(trigger.deployment)
        signature = self._version(state, trigger.parent).manifest.signature
        embargo = timedelta(seconds=state.spec.data.label_delay_s or 0.0)
        rows = self._labelled(state.id, trigger.data_from, trigger.holdout_from - embargo, known_at=trigger.data_to)
        columns = training_columns(signature, rows.columns, rows.labels)
        if state.spec.data.reference and state.spec.retrain.action != "fresh":
            columns = merged(self._tables.read(state.spec.data.reference).columns, columns)
        path = f"{self._folder}/{trigger.id}.parquet"
        self._tables.to_parquet(columns, path, _types(signature))
        task = TrainingTask(
            id=trigger.id,
            command=trigger.command,
            data_path=path,
            output_path=f"{self._folder}/{trigger.id}.model",
            request={
                "trigger": trigger.id,
                "deployment": trigger.deployment,
                "target": signature.target,
                "parent": trigger.parent,
                "seed": trigger.seed,
                "reason": trigger.reason,
            },
            python_path=self._python_path,
            timeout_s=state.spec.retrain.deadline_s,
        )
        self._executor.submit(task)
        return self._move(
            trigger, TriggerState.RUNNING, f"training on {next(iter(columns.values())).shape[0]} rows", now
        )

    def _collect(self, trigger: Trigger, now: datetime) -> Trigger:
        """Register what the function made."""
        try:
            outcome = self._executor.outcome(trigger.id)
        except NotFound:
            return self._move(trigger, TriggerState.REQUESTED, "the machine restarted; training starts again", now)
        if outcome is None:
            if now < trigger.deadline_at:
                return trigger
            self._executor.cancel(trigger.id)
            return self._move(trigger, TriggerState.EXPIRED, "training took longer than the deadline", now)
        if not outcome.is_ok:
            return self._move(trigger, TriggerState.FAILED, outcome.message, now)
        return self._register(trigger, outcome, now)

    def _register(self, trigger: Trigger, outcome: TrainingOutcome, now: datetime) -> Trigger:
        """Register the model file; the same bytes give the same version."""
        state = self._deployment(trigger.deployment)
        try:
            version = self._versions.register(
                replace(state.spec.model, source=outcome.model_path, version="auto", trust=True),
                replace(state.spec.data, reference=f"{self._folder}/{trigger.id}.parquet"),
                by=_BY,
                origin="retrained",
                parent=self._version(state, trigger.parent),
                trigger_id=trigger.id,
            )
        except (InputError, BackendError) as error:
            return self._move(trigger, TriggerState.FAILED, f"the trained model cannot be used: {error.message}", now)
        candidate = replace(trigger, candidate=version.number)
        return self._move(candidate, TriggerState.CANDIDATE, f"version {version.number} registered", now)

    def _judge(self, trigger: Trigger, now: datetime) -> Trigger:
        """Compare candidate and champion on newer rows, run the gates, and start a rollout if all agree."""
        state = self._deployment(trigger.deployment)
        candidate = self._version(state, trigger.candidate or 0)
        rows = self._labelled(state.id, trigger.holdout_from, trigger.data_to)
        comparison = self._compare(state, candidate, rows)
        interval = f"[{comparison.low:+.4f}, {comparison.high:+.4f}]"
        sentence = f"{comparison.standing}: loss {comparison.difference:+.4f} {interval} on {comparison.n} newer rows"
        is_better = comparison.standing is Standing.BETTER
        is_enough = is_better or (comparison.standing is Standing.NON_INFERIOR and self._has_alert(state.id))
        if not is_enough:
            return self._move(trigger, TriggerState.REJECTED, sentence, now)
        path = f"{self._folder}/{trigger.id}.holdout.parquet"
        signature = candidate.manifest.signature
        self._tables.to_parquet(training_columns(signature, rows.columns, rows.labels), path, _types(signature))
        baseline = self._version(state, state.champion or 0)
        run = self._gates.check(candidate, data_path=path, rules=state.spec.gates, baseline=baseline, by=_BY)
        if run.state in (VerdictState.FAIL, VerdictState.ERROR):
            return self._move(trigger, TriggerState.REJECTED, f"gates {run.state}: {'; '.join(objections(run))}", now)
        if state.spec.retrain.promote != "auto" or run.state is not VerdictState.PASS:
            todo = f"{sentence}; gates {run.state}; waits for a person: roll out version {candidate.number}"
            return self._move(trigger, TriggerState.ACCEPTED, todo, now)
        try:
            self._rollouts.begin(state.id, candidate.number, origin="retraining", by=_BY, reason=sentence)
        except Conflict:
            return trigger
        except Refused as refusal:
            return self._move(trigger, TriggerState.REJECTED, f"{sentence}; {refusal.message}", now)
        return self._move(trigger, TriggerState.ACCEPTED, f"{sentence}; on trial", now)

    def _compare(self, state: Deployment, candidate: ModelVersion, rows: JoinedRows) -> Comparison:
        """Score the same rows with both versions; differences are paired."""
        champion = self._version(state, state.champion or 0)
        scale = scale_of(champion.manifest.signature, rows)
        old, new = (self._losses(version, rows, scale) for version in (champion, candidate))
        known = old[~np.isnan(old)]
        margins = state.spec.monitor
        reference = float(known.mean()) if known.size else 0.0
        margin = max(margins.loss_tolerance_absolute, margins.loss_tolerance_relative * reference)
        return compare(new, old, margin=margin)

    def _losses(self, version: ModelVersion, rows: JoinedRows, scale: float) -> FloatArray:
        """Score logged rows again, off the request path."""
        signature = version.manifest.signature
        if rows.n == 0:
            return losses(signature, rows, scale)
        scores = np.asarray(self._scorer.score(version, rows.columns).scores, dtype=np.float64)
        return row_loss(signature, label_indexes(signature, rows.labels), scores, scale=scale)

    def _has_alert(self, deployment: str) -> bool:
        """Say whether a realised alert is open."""
        alerts = self._metadata.read(
            lambda tx: tx.list(Alert, where={"deployment": deployment, "closed_at": None}, limit=_PAGE)
        )
        return any(alert.family in {"performance", "calibration"} for alert in alerts)

    def _move(self, trigger: Trigger, state: TriggerState, message: str, now: datetime) -> Trigger:
        """Commit a new state with its audit row, unless somebody else took the step."""
        after = replace(trigger, state=state, message=message, updated_at=now, version=trigger.version + 1)

        def write(tx: WriteTx) -> Trigger:
            stored = tx.get(Trigger, trigger.id)
            if stored is not None and stored.version != trigger.version:
                return stored
            tx.replace(after)
            detail: Detail = {"trigger": trigger.id, "message": message, "candidate": after.candidate}
            self._auditor.record(tx, by=_BY, action=f"retrain.{state}", subject=trigger.deployment, detail=detail)
            return after

        return self._metadata.write(write)

    def _deployment(self, deployment: str) -> Deployment:
        """Return the deployment."""
        state = self._metadata.read(lambda tx: tx.get(Deployment, deployment))
        if state is None:
            message = f"no deployment `{deployment}`"
            raise NotFound(message, hint="see the deployments with `kilter status`")
        return state

    def _version(self, state: Deployment, number: int) -> ModelVersion:
        """Return a version of the deployment's model."""
        return self._versions.resolve(f"{state.spec.model.name}@{number}")

    def _labelled(
        self,
        deployment: str,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        with_columns: bool = True,
    ) -> JoinedRows:
        """Read labelled rows in order of time, with labels known at the end of the range or at a later time."""
        query = RowQuery(
            deployment=deployment,
            start_ns=_ns(start),
            end_ns=_ns(end),
            labelled_until_ns=_ns(known_at or end),
            with_columns=with_columns,
        )
        return only_labelled(self._table.rows(self._metadata.read(lambda tx: _parts(tx, deployment)), query))


def _open(tx: ReadTx, deployment: str) -> Trigger | None:
    """Return the open request."""
    found = tx.list(Trigger, where={"deployment": deployment}, limit=_PAGE)
    return next((trigger for trigger in found if not trigger.state.is_final), None)


def _parts(tx: ReadTx, deployment: str) -> tuple[LogPart, ...]:
    """Return all parts that are read, in one view: a merge between two pages would count rows twice or never."""
    where: dict[str, str | int | bool | None] = {"deployment": deployment, "superseded_at": None}
    pages = [tx.list(LogPart, where=where, limit=_PAGE)]
    while len(pages[-1]) == _PAGE:
        pages.append(tx.list(LogPart, where=where, after=pages[-1][-1].id, limit=_PAGE))
    return tuple(part for page in pages for part in page)


def _ns(moment: datetime) -> int:
    """Return nanoseconds since the epoch, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


def _at(time_ns: int) -> datetime:
    """Return the moment of nanoseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=time_ns // 1_000)


def _types(signature: Signature) -> dict[str, ColumnType]:
    """Return the types of a signature's columns, so that training data has those of the requests."""
    return {column.name: column.type for column in signature.columns}
