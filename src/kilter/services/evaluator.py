"""Runs the checks on a version, has the gates judged, records the run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.check import Check, CheckInputs
from kilter.contracts.model import Model, ModelVersion
from kilter.contracts.reading import Reading
from kilter.contracts.table import Table
from kilter.contracts.verdict import CheckRun, GateRule, Verdict, VerdictState
from kilter.errors import KilterError, SchemaMismatch, UnknownName
from kilter.measures.difference import dummy_inputs, paired_gain
from kilter.measures.rows import batch_of, columns_of, label_indexes
from kilter.measures.slices.slice_table import slice_table
from kilter.policy.evidence import check_of, error_verdict, fault_text, judges_for, unmeasured
from kilter.policy.verdicts import default_rules, worst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kilter.contracts.arrays import Array
    from kilter.contracts.check import CheckSpec
    from kilter.contracts.clock import Clock
    from kilter.contracts.metadata import MetadataStore, ReadTx, WriteTx
    from kilter.contracts.scoring import Auditor, IdSource, Progress, Scorer
    from kilter.contracts.table import TableReader
    from kilter.contracts.verdict import Judge
    from kilter.measures.interval import Influence

    Metric = Callable[[CheckInputs], Influence | str]

__all__ = ["Evaluator"]

WARM_UP_CALLS: Final = 20
TIMED_CALLS: Final = 380
DUMMY: Final = "baseline:dummy"

_FAULTS: Final = (KilterError, ArithmeticError, LookupError, TypeError, ValueError)


@dataclass(slots=True, kw_only=True)
class _Case:
    """One version on one table: what the checks get, what they said, and what went wrong by check id."""

    version: ModelVersion
    table: Table
    inputs: CheckInputs
    checks: dict[str, Check]
    baseline: ModelVersion | None
    readings: tuple[Reading, ...] = ()
    faults: dict[str, str]


class Evaluator:
    """Evaluates versions on held-out data: the port ``GateRunner``.

    Guarantees: a failing gate raises nothing, the run says it; a check that raises becomes the verdict ``error``
    and the others still run; the run and its audit row are recorded in one transaction, or neither; the same
    version and file give the same readings, times of calls apart. May be called from several threads if its
    parts may.

    Parameters
    ----------
    metadata, auditor : MetadataStore, Auditor
        Keep the runs, and what was done.
    tables, scorer : TableReader, Scorer
        Read the data file, and run versions on it.
    checks, gates : callables without argument
        Give the modules found: those with ``CHECK`` and ``run``, those with ``GATE`` and ``judge``.
    clock, ids : Clock, IdSource
        Date and name the run.
    """

    def __init__(
        self,
        *,
        metadata: MetadataStore,
        tables: TableReader,
        scorer: Scorer,
        checks: Callable[[], Iterable[Check]],
        gates: Callable[[], Iterable[Judge]],
        auditor: Auditor,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._metadata = metadata
        self._tables = tables
        self._scorer = scorer
        self._checks = checks
        self._gates = gates
        self._auditor = auditor
        self._clock = clock
        self._ids = ids

    def check(
        self,
        version: ModelVersion,
        *,
        data_path: str,
        rules: tuple[GateRule, ...],
        baseline: ModelVersion | None,
        by: str,
        progress: Progress | None = None,
    ) -> CheckRun:
        """Evaluate a version on held-out data and record the run.

        Parameters
        ----------
        version : ModelVersion
            What is judged.
        data_path : str
            Table with the version's columns and its target.
        rules : tuple of GateRule
            Empty: the default rules for the model's task and risk.
        baseline : ModelVersion or None
            What ``no_worse_than = "live"`` means; None: the best constant answer.
        by : str
            Who asked.
        progress : callable or None
            Called with the share done and what is being done.

        Returns
        -------
        CheckRun
            With all readings and one verdict per rule and judge.

        Raises
        ------
        NotFound
            If the data file does not exist.
        SchemaMismatch
            If the data is no table, lacks the target, or its target is of another kind.
        StoreError
            If the run cannot be recorded.
        """
        said = progress or _silent
        started_ns = self._clock.time_ns()
        said(0.0, "reading the data")
        table = self._tables.read(data_path)
        labels = _labels(version, table)
        judged = rules or default_rules(version.manifest.signature, self._risk(version))
        case = self._prepare(version, table, labels, judged)
        case.baseline = baseline
        said(0.1, "scoring rows")
        self._score(case)
        said(0.3, "timing single calls")
        self._time(case)
        said(0.5, "measuring")
        self._measure(case, judged)
        said(0.8, "judging")
        verdicts = tuple(verdict for rule in judged for verdict in self._judge(case, rule))
        run = CheckRun(
            id=self._ids.new("check"),
            version_id=version.id,
            model_name=version.model_name,
            number=version.number,
            data_name=table.name,
            data_digest=table.digest,
            rows=table.rows,
            state=worst(verdicts),
            verdicts=verdicts,
            readings=case.readings,
            created_at=self._clock.now(),
            seconds=(self._clock.time_ns() - started_ns) / 1e9,
        )
        self._record(run, by)
        said(1.0, "done")
        return run

    def latest(self, version_id: str) -> CheckRun | None:
        """Return the newest run of a version, or None.

        Parameters
        ----------
        version_id : str
            Id of the version.

        Returns
        -------
        CheckRun or None

        Raises
        ------
        StoreError
            If the store fails.
        """

        def newest(tx: ReadTx) -> CheckRun | None:
            runs = tx.list(CheckRun, where={"version_id": version_id}, limit=1, newest_first=True)
            return runs[0] if runs else None

        return self._metadata.read(newest)

    def _risk(self, version: ModelVersion) -> str:
        """Return the risk class that the model was registered with."""
        model = self._metadata.read(lambda tx: tx.get(Model, version.model_id))
        return model.risk if model is not None else "limited"

    def _prepare(self, version: ModelVersion, table: Table, labels: Array, rules: tuple[GateRule, ...]) -> _Case:
        """Collect what the checks will be given, and the checks that apply or are asked for."""
        signature = version.manifest.signature
        columns = dict(table.columns)
        with suppress(SchemaMismatch):  # the schema check names every fault, and scoring fails with the first
            columns |= columns_of(signature, batch_of(signature, columns))
        named = {check_of(rule.metric) for rule in rules}
        found = [check for check in self._checks() if callable(getattr(check, "run", None))]
        checks = {
            check.CHECK.id: check
            for check in found
            if not check.CHECK.tasks or signature.task in check.CHECK.tasks or check.CHECK.id in named
        }
        slices = tuple(dict.fromkeys(name for rule in rules for name in rule.slices))
        inputs = CheckInputs(
            signature=signature, threshold=version.manifest.threshold, labels=labels, columns=columns, slices=slices
        )
        return _Case(version=version, table=table, inputs=inputs, checks=checks, baseline=None, faults={})

    def _score(self, case: _Case) -> None:
        """Score the rows; a failure becomes the fault of every check that needs scores."""
        try:
            scores = self._scorer.score(case.version, case.inputs.columns).scores
        except KilterError as error:
            _blame(case, "scores", error)
        else:
            case.inputs = replace(case.inputs, scores=_frozen(scores))

    def _time(self, case: _Case) -> None:
        """Time single-row calls after a warm-up; skipped where scoring failed or nothing needs it."""
        if case.inputs.scores is None or not any("durations" in check.CHECK.needs for check in case.checks.values()):
            return
        try:
            self._scorer.durations_ms(case.version, case.inputs.columns, calls=WARM_UP_CALLS)
            durations = self._scorer.durations_ms(case.version, case.inputs.columns, calls=TIMED_CALLS)
        except KilterError as error:
            _blame(case, "durations", error)
        else:
            case.inputs = replace(case.inputs, durations_ms=_frozen(durations))

    def _measure(self, case: _Case, rules: tuple[GateRule, ...]) -> None:
        """Run the checks."""
        wants_slices = any(rule.slices for rule in rules)
        readings: list[Reading] = []
        for name, check in case.checks.items():
            if name in case.faults or (name == "slice_table" and not wants_slices):
                continue
            try:
                readings += check.run(case.inputs)
            except _FAULTS as error:
                case.faults[name] = fault_text(error)
        case.readings = tuple(readings)

    def _judge(self, case: _Case, rule: GateRule) -> list[Verdict]:
        """Return one verdict per judge that the rule calls for."""
        own = tuple(reading for reading in case.readings if reading.metric == rule.metric)
        if not own:
            return [error_verdict(rule, "evidence", unmeasured(rule, case.readings, case.faults))]
        wanted = judges_for(rule, own)
        if not wanted:
            return [error_verdict(rule, "limit", "the rule names no limit, no other version and no slices")]
        judges = {gate.GATE.id: gate for gate in self._gates()}
        verdicts = []
        for name in wanted:
            if name not in judges:
                verdicts.append(error_verdict(rule, name, f"no judge `{name}` is installed"))
                continue
            try:
                verdicts.append(judges[name].judge(self._evidence(case, rule, name, own), rule))
            except _FAULTS as error:
                verdicts.append(error_verdict(rule, name, fault_text(error)))
        return verdicts

    def _evidence(self, case: _Case, rule: GateRule, judge: str, own: tuple[Reading, ...]) -> tuple[Reading, ...]:
        """Return the readings for one judge."""
        if judge == "no_worse_than":
            return (self._gain(case, rule),)
        if judge == "slices":
            influence, spec = _metric(case, rule)
            cut = slice_table(
                case.inputs, rule.slices, influence, spec=spec, metric=rule.metric, min_rows=rule.min_rows
            )
            return (*own, *cut)
        return own

    def _gain(self, case: _Case, rule: GateRule) -> Reading:
        """Compare with another version, or with the best constant answer, on the same rows."""
        influence, spec = _metric(case, rule)
        other = self._other(case, rule.no_worse_than)
        if other is None:
            inputs, name = dummy_inputs(case.inputs, check_of(rule.metric)), DUMMY
        else:
            signature = other.manifest.signature
            scores = self._scorer.score(other, case.inputs.columns).scores
            inputs = replace(
                case.inputs,
                signature=signature,
                labels=label_indexes(signature, case.table.columns[case.inputs.signature.target]),
                scores=_frozen(scores),
                threshold=other.manifest.threshold,
            )
            name = f"{other.model_name}@{other.number}"
        return paired_gain(case.inputs, inputs, influence, spec=spec, name=name, metric=rule.metric)

    def _other(self, case: _Case, reference: str) -> ModelVersion | None:
        """Return the version that a rule compares with; None for the best constant answer."""
        baseline = case.baseline
        if reference == DUMMY or (reference == "live" and baseline is None):
            return None
        if baseline is not None and reference in {"live", f"{baseline.model_name}@{baseline.number}"}:
            return baseline
        name, _, number = reference.partition("@")
        found: tuple[ModelVersion, ...] = ()
        if number.isdecimal():
            where: dict[str, str | int | bool | None] = {"model_name": name, "number": int(number)}
            found = self._metadata.read(lambda tx: tx.list(ModelVersion, where=where, limit=1))
        if not found:
            message = f"no_worse_than names `{reference}`, expected `live`, `{DUMMY}` or an existing `name@7`"
            raise UnknownName(message, hint="write `live`")
        return found[0]

    def _record(self, run: CheckRun, by: str) -> None:
        """Keep the run and its audit row, both or neither."""
        states = [verdict.state for verdict in run.verdicts]

        def write(tx: WriteTx) -> None:
            tx.add(run)
            self._auditor.record(
                tx,
                by=by,
                action="gate.run",
                subject=f"{run.model_name}@{run.number}",
                detail={
                    "check": run.id,
                    "state": run.state.value,
                    "data": run.data_name,
                    "data_digest": run.data_digest,
                    "rows": run.rows,
                    "gates": len(states),
                    "passed": states.count(VerdictState.PASS),
                },
            )

        self._metadata.write(write)


def _labels(version: ModelVersion, table: Table) -> Array:
    """Return the labels as class positions or values."""
    signature = version.manifest.signature
    if signature.target not in table.columns:
        seen = ", ".join(f"`{name}`" for name in list(table.columns)[:20])
        message = f"`{table.name}` has no target column `{signature.target}`; its columns are {seen}"
        raise SchemaMismatch(message, where=table.name, hint=f"add the column `{signature.target}` with the labels")
    try:
        return _frozen(label_indexes(signature, table.columns[signature.target]))
    except (TypeError, ValueError) as error:
        message = f"target column `{signature.target}` holds values that are no {signature.task.value} labels"
        raise SchemaMismatch(message, where=table.name, why=str(error), hint="correct the labels") from error


def _frozen(values: Array) -> Array:
    """Return a read-only view."""
    view = np.asarray(values, dtype=np.float64).view()
    view.flags.writeable = False
    return view


def _silent(share: float, text: str) -> None:
    """Report progress to nobody."""


def _blame(case: _Case, need: str, error: KilterError) -> None:
    """Note one failure for every check that depends on it."""
    for name, check in case.checks.items():
        if need in check.CHECK.needs:
            case.faults[name] = fault_text(error)


def _metric(case: _Case, rule: GateRule) -> tuple[Metric, CheckSpec]:
    """Return a metric's influence function and constant."""
    check = case.checks.get(check_of(rule.metric))
    influence: Metric | None = getattr(check, "influence", None)
    if check is None or influence is None:
        message = f"{rule.metric} has no form by rows, so it can be neither compared nor cut into slices"
        raise UnknownName(message, hint="use `log_loss` or `brier_score_loss`")
    return influence, check.CHECK
