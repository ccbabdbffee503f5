"""The evaluator runs every check, judges every rule, and records both or neither."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter import plugins
from kilter.contracts.evidence import AuditRow
from kilter.contracts.ids import Digest, ModelId, VersionId
from kilter.contracts.model import Conversion, Manifest, Model, ModelVersion
from kilter.contracts.scoring import Scored
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.contracts.table import Table
from kilter.contracts.verdict import CheckRun, GateRule, OnFail, VerdictState
from kilter.errors import ModelFailed, NotFound, SchemaMismatch, StoreError
from kilter.measures.performance import accuracy_score
from kilter.measures.rows import batch_of
from kilter.services.evaluator import Evaluator
from kilter.stores.memory import MemoryMetadata
from kilter.testing.cases import BINARY, MULTICLASS, REGRESSION, case_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kilter.contracts.arrays import Columns
    from kilter.contracts.metadata import WriteTx

    Detail = str | int | float | bool | None

ROOMS = ("measures.performance", "measures.calibration", "measures.slices", "measures.quality")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = Digest("sha256:" + "0" * 64)


class Clock:
    def now(self) -> datetime:
        return NOW

    def time_ns(self) -> int:
        return 0


class Ids:
    def __init__(self) -> None:
        self.made = 0

    def new(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}_{self.made:04d}"


class Audit:
    def __init__(self, *, is_broken: bool = False) -> None:
        self.rows: list[AuditRow] = []
        self.is_broken = is_broken

    def record(self, tx: WriteTx, *, by: str, action: str, subject: str, detail: Mapping[str, Detail]) -> AuditRow:
        if self.is_broken:
            message = "the disk is full"
            raise StoreError(message)
        row = AuditRow(
            id="1", at=NOW, by=by, action=action, subject=subject, detail=detail, previous="", digest=type(tx).__name__
        )
        self.rows.append(row)
        return row


class Tables:
    def __init__(self, table: Table) -> None:
        self.table = table

    def read(self, path: str) -> Table:
        if path != "holdout.csv":
            message = f"there is no file {path}"
            raise NotFound(message)
        return self.table

    def to_arrow(self, table: Table) -> bytes:
        raise NotImplementedError(table.name)

    def to_parquet(self, columns: Columns, path: str, types: Mapping[str, ColumnType] | None = None) -> None:
        raise NotImplementedError(path, columns)


class Scores:
    """Scores by version number; each a function of the columns."""

    def __init__(self, models: dict[int, Callable[[Columns], np.ndarray]]) -> None:
        self.models = models
        self.calls: list[int] = []

    def score(self, version: ModelVersion, columns: Columns) -> Scored:
        batch_of(version.manifest.signature, columns)
        values = self.models[version.number](columns)
        return Scored(raw=values, scores=values)

    def durations_ms(self, _version: ModelVersion, _columns: Columns, *, calls: int) -> np.ndarray:
        self.calls.append(calls)
        return np.linspace(0.1, 0.2, calls)


def version_of(signature: Signature, number: int = 1) -> ModelVersion:
    manifest = Manifest(
        signature=signature,
        runtime="onnx",
        runtime_file="model.onnx",
        files=(),
        conversion=Conversion(source_format="onnx", converted=False, reason="as given"),
    )
    return ModelVersion(
        id=VersionId(f"ver_{number}"),
        model_id=ModelId("mdl_1"),
        model_name="churn",
        number=number,
        digest=Digest(f"sha256:{number:064d}"),
        manifest=manifest,
        origin="added",
        source="model.onnx",
        created_at=NOW,
    )


def table_of(signature: Signature, n: int = 600, seed: int = 0) -> Table:
    case = case_of(signature.task, n, seed)
    labels = np.asarray(case.labels)
    target = labels if not signature.classes else np.array(signature.classes, dtype=object)[labels.astype(int)]
    columns = {**case.columns, signature.target: target}
    types = {
        "age": ColumnType.FLOAT,
        "plan": ColumnType.TEXT,
        signature.target: ColumnType.FLOAT if signature.task is Task.REGRESSION else ColumnType.TEXT,
    }
    return Table(name="holdout.csv", rows=n, types=types, columns=columns, digest=DIGEST)


def honest(signature: Signature, seed: int = 0) -> Callable[[Columns], np.ndarray]:
    return lambda columns: np.asarray(case_of(signature.task, columns["age"].shape[0], seed).scores)


class Bench:
    """An evaluator with everything it needs."""

    def __init__(
        self,
        signature: Signature = BINARY,
        *,
        table: Table | None = None,
        models: dict[int, Callable[[Columns], np.ndarray]] | None = None,
        audit: Audit | None = None,
        risk: str = "limited",
        checks: tuple[Any, ...] | None = None,
        gates: tuple[Any, ...] | None = None,
    ) -> None:
        self.signature = signature
        self.metadata = MemoryMetadata()
        self.audit = audit or Audit()
        self.scorer = Scores(models or {1: honest(signature)})
        model = Model(id=ModelId("mdl_1"), name="churn", created_at=NOW, risk=risk)
        self.metadata.write(lambda tx: tx.add(model))
        found = tuple(module for room in ROOMS for module in plugins.members(room, "CHECK"))
        judges = plugins.members("policy.gates", "GATE")
        self.evaluator = Evaluator(
            metadata=self.metadata,
            tables=Tables(table or table_of(signature)),
            scorer=self.scorer,
            checks=lambda: found if checks is None else checks,
            gates=lambda: judges if gates is None else gates,
            auditor=self.audit,
            clock=Clock(),
            ids=Ids(),
        )

    def check(self, *rules: GateRule, baseline: ModelVersion | None = None, path: str = "holdout.csv") -> CheckRun:
        return self.evaluator.check(
            version_of(self.signature), data_path=path, rules=rules, baseline=baseline, by="ada", progress=None
        )


@pytest.mark.parametrize("signature", [BINARY, MULTICLASS, REGRESSION], ids=lambda signature: signature.task)
@pytest.mark.parametrize("risk", ["minimal", "limited", "high"])
def test_an_honest_model_passes_the_defaults(signature: Signature, risk: str) -> None:
    rows = 8_000 if risk == "high" else 1_000
    run = Bench(signature, risk=risk, table=table_of(signature, rows)).check()
    assert run.state is VerdictState.PASS, [verdict.reason for verdict in run.verdicts]
    assert run.rows == rows


def useless(signature: Signature) -> Callable[[Columns], np.ndarray]:
    if signature.task is Task.REGRESSION:
        return lambda columns: np.full(columns["age"].shape[0], 1.5)
    k = len(signature.classes)
    return lambda columns: np.full((columns["age"].shape[0], k), 1 / k)


def reversed_(signature: Signature) -> Callable[[Columns], np.ndarray]:
    if signature.task is Task.REGRESSION:
        return lambda columns: -honest(signature)(columns)
    return lambda columns: honest(signature)(columns)[:, ::-1]


@pytest.mark.parametrize("signature", [BINARY, MULTICLASS, REGRESSION], ids=lambda signature: signature.task)
@pytest.mark.parametrize("make", [useless, reversed_])
def test_a_useless_or_broken_model_fails_the_defaults(
    signature: Signature, make: Callable[[Signature], Callable[[Columns], np.ndarray]]
) -> None:
    run = Bench(signature, models={1: make(signature)}, table=table_of(signature, 2_000)).check()
    assert run.state is VerdictState.FAIL


def test_a_run_and_its_audit_row_are_recorded_together() -> None:
    bench = Bench()
    run = bench.check()
    assert bench.evaluator.latest(run.version_id) == run
    assert [row.action for row in bench.audit.rows] == ["gate.run"]
    assert bench.audit.rows[0].subject == "churn@1"
    broken = Bench(audit=Audit(is_broken=True))
    with pytest.raises(StoreError):
        broken.check()
    assert broken.evaluator.latest("ver_1") is None


def test_the_newest_run_is_the_latest() -> None:
    bench = Bench()
    bench.check()
    assert bench.evaluator.latest("ver_1") != (second := bench.check()) or second.id.endswith("2")
    assert bench.evaluator.latest("ver_1") == second


def test_progress_is_told() -> None:
    bench, told = Bench(), []
    bench.evaluator.check(
        version_of(BINARY),
        data_path="holdout.csv",
        rules=(),
        baseline=None,
        by="ada",
        progress=lambda share, text: told.append((share, text)),
    )
    assert told[0][0] == 0.0
    assert told[-1] == (1.0, "done")
    assert bench.scorer.calls == [20, 380]


def test_a_missing_file_is_not_found() -> None:
    with pytest.raises(NotFound):
        Bench().check(path="other.csv")


def test_a_missing_target_is_named_with_the_columns_seen() -> None:
    table = table_of(BINARY)
    columns = {name: values for name, values in table.columns.items() if name != "left"}
    with pytest.raises(SchemaMismatch, match="no target column `left`; its columns are `age`, `plan`"):
        Bench(table=replace(table, columns=columns)).check()


def test_a_target_of_another_kind_is_refused() -> None:
    table = table_of(REGRESSION)
    columns = {**table.columns, "price": np.array(["cheap"] * table.rows, dtype=object)}
    with pytest.raises(SchemaMismatch, match="no regression labels"):
        Bench(REGRESSION, table=replace(table, columns=columns)).check()


def test_a_missing_column_fails_the_schema_and_stops_what_needs_scores() -> None:
    table = table_of(BINARY)
    columns = {name: values for name, values in table.columns.items() if name != "age"}
    run = Bench(table=replace(table, columns=columns)).check()
    states = {verdict.gate: verdict for verdict in run.verdicts}
    assert states["schema_faults.zero"].state is VerdictState.FAIL
    assert "`age`: the column is missing" in states["schema_faults.zero"].reason
    brier = states["brier_score_loss.evidence"]
    assert brier.state is VerdictState.ERROR
    assert "input.schema" in brier.reason
    assert run.state is VerdictState.FAIL


def test_unknown_labels_fail_the_schema() -> None:
    table = table_of(BINARY)
    columns = {**table.columns, "left": np.array(["maybe"] * table.rows, dtype=object)}
    run = Bench(table=replace(table, columns=columns)).check(GateRule(metric="schema_faults", max=0.0))
    assert "among no, yes, such as `maybe`" in run.verdicts[0].reason


def test_a_model_that_fails_gives_errors() -> None:
    def broken(_columns: Columns) -> np.ndarray:
        message = "the model raised"
        raise ModelFailed(message)

    run = Bench(models={1: broken}).check(GateRule(metric="accuracy_score", min=0.5))
    assert run.verdicts[0].state is VerdictState.ERROR
    assert "model.failed: the model raised" in run.verdicts[0].reason


def test_a_model_that_fails_when_timed_gives_errors() -> None:
    class Untimed(Scores):
        def durations_ms(self, _version: ModelVersion, _columns: Columns, *, calls: int) -> np.ndarray:
            message = f"failed in {calls} calls"
            raise ModelFailed(message)

    bench = Bench()
    bench.evaluator._scorer = Untimed({1: honest(BINARY)})  # noqa: SLF001 - the bench is the test's own
    run = bench.check(GateRule(metric="latency_ms", max=1.0), GateRule(metric="accuracy_score", min=0.5))
    assert [verdict.state for verdict in run.verdicts] == [VerdictState.ERROR, VerdictState.PASS]


def test_nothing_is_timed_where_nothing_needs_it() -> None:
    bench = Bench(checks=(accuracy_score,))
    bench.check(GateRule(metric="accuracy_score", min=0.5))
    assert bench.scorer.calls == []


class BrokenCheck:
    """Looks like a module whose function raises."""

    CHECK = plugins.members("measures.calibration", "CHECK")[0].CHECK

    @staticmethod
    def run(_inputs: object) -> None:
        message = "division of nothing"
        raise ZeroDivisionError(message)


class BrokenJudge:
    """Looks like a judge that raises."""

    GATE = next(module.GATE for module in plugins.members("policy.gates", "GATE") if module.GATE.id == "limit")

    @staticmethod
    def judge(_readings: object, _rule: object) -> None:
        message = "no such reading"
        raise KeyError(message)


def test_a_check_that_raises_is_an_error_and_the_others_still_run() -> None:
    others = plugins.members("measures.performance", "CHECK")
    run = Bench(checks=(BrokenCheck, *others)).check(
        GateRule(metric=BrokenCheck.CHECK.id, max=1.0), GateRule(metric="accuracy_score", min=0.5), GateRule(metric="m")
    )
    assert [verdict.state for verdict in run.verdicts] == [VerdictState.ERROR, VerdictState.PASS, VerdictState.ERROR]
    assert "check.ZeroDivisionError: division of nothing" in run.verdicts[0].reason
    assert run.state is VerdictState.ERROR


def test_a_judge_that_raises_or_is_absent_is_an_error() -> None:
    rule = GateRule(metric="accuracy_score", min=0.5)
    assert Bench(gates=(BrokenJudge,)).check(rule).state is VerdictState.ERROR
    assert "no judge `limit`" in Bench(gates=()).check(rule).verdicts[0].reason


def test_an_unknown_metric_names_the_nearest() -> None:
    verdict = Bench().check(GateRule(metric="acuracy_score", min=0.5)).verdicts[0]
    assert verdict.state is VerdictState.ERROR
    assert "`accuracy_score`" in verdict.reason


def test_a_metric_of_another_task_does_not_pass() -> None:
    verdict = Bench().check(GateRule(metric="r2_score", min=0.5)).verdicts[0]
    assert verdict.state is VerdictState.INCONCLUSIVE
    assert "not defined for binary" in verdict.reason


def test_a_rule_without_a_limit_is_an_error() -> None:
    assert Bench().check(GateRule(metric="accuracy_score")).verdicts[0].state is VerdictState.ERROR


def test_a_copy_of_live_is_no_worse_and_a_bad_candidate_is() -> None:
    rule = GateRule(metric="log_loss", no_worse_than="live")
    live = version_of(BINARY, 2)
    same = Bench(models={1: honest(BINARY), 2: honest(BINARY)}).check(rule, baseline=live)
    assert same.state is VerdictState.PASS
    assert same.verdicts[0].readings[0].subject == "difference:churn@2"
    worse = Bench(models={1: useless(BINARY), 2: honest(BINARY)}).check(rule, baseline=live)
    assert worse.state is VerdictState.FAIL


def test_without_live_the_best_constant_stands_in() -> None:
    verdict = Bench().check(GateRule(metric="log_loss", no_worse_than="live")).verdicts[0]
    assert verdict.state is VerdictState.PASS
    assert verdict.reason.startswith("there is no other version to compare with")


def test_a_named_version_is_looked_up() -> None:
    bench = Bench(models={1: honest(BINARY), 3: useless(BINARY)})
    bench.metadata.write(lambda tx: tx.add(version_of(BINARY, 3)))
    better, unknown, unread = bench.check(
        GateRule(metric="log_loss", no_worse_than="churn@3"),
        GateRule(metric="log_loss", no_worse_than="churn@9"),
        GateRule(metric="log_loss", no_worse_than="yesterday"),
    ).verdicts
    assert better.state is VerdictState.PASS
    assert unknown.state is VerdictState.ERROR
    assert "`churn@9`" in unknown.reason
    assert unread.state is VerdictState.ERROR


def test_a_version_with_another_order_of_classes_is_compared_fairly() -> None:
    swapped = replace(BINARY, classes=("yes", "no"))
    models = {1: honest(BINARY), 2: lambda columns: honest(BINARY)(columns)[:, ::-1]}
    run = Bench(models=models).check(GateRule(metric="log_loss", no_worse_than="live"), baseline=version_of(swapped, 2))
    assert run.verdicts[0].readings[0].estimate == 0.0


def test_slices_are_judged_with_the_overall_value() -> None:
    rule = GateRule(metric="accuracy_score", slices=("plan",), min=0.3, min_rows=50, on_fail=OnFail.REVIEW)
    run = Bench().check(rule)
    assert run.verdicts[0].gate == "accuracy_score.slices"
    assert run.verdicts[0].state is VerdictState.PASS
    assert any(reading.metric == "slice_table" for reading in run.readings)


def test_a_metric_without_rows_cannot_be_compared() -> None:
    verdict = Bench().check(GateRule(metric="latency_p50_ms", no_worse_than="live")).verdicts[0]
    assert verdict.state is VerdictState.ERROR
    assert "has no form by rows" in verdict.reason


def test_an_unregistered_model_counts_as_limited() -> None:
    bench = Bench()
    stranger = replace(version_of(BINARY), model_id=ModelId("mdl_9"))
    run = bench.evaluator.check(stranger, data_path="holdout.csv", rules=(), baseline=None, by="ada")
    assert run.state is VerdictState.PASS


def test_numbers_given_as_text_are_cast() -> None:
    table = table_of(BINARY)
    age = np.array([repr(value) for value in np.asarray(table.columns["age"]).tolist()], dtype=object)
    run = Bench(table=replace(table, columns={**table.columns, "age": age})).check()
    assert run.state is VerdictState.PASS
    assert Column(name="age", type=ColumnType.FLOAT).nullable is False
