"""What the verdicts of a run come to, which rules hold where none are written, and how reasons are worded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kilter.contracts.reading import Basis, Reading
from kilter.contracts.signature import ColumnType, Signature, Task
from kilter.contracts.verdict import GateRule, OnFail, Verdict, VerdictState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "awaits_review",
    "consequence",
    "default_rules",
    "interval_text",
    "objection",
    "refused",
    "rows_needed",
    "worst",
]

_ORDER: Final = (VerdictState.PASS, VerdictState.INCONCLUSIVE, VerdictState.ERROR, VerdictState.FAIL)
_MIN_ROWS: Final = 30
_SLICE_ROWS: Final = 200
_SLICE_COLUMNS: Final = 3
_MOST_LEVELS: Final = 50
_P99_MS: Final = 1_000.0
_CEILING: Final = 10**9

JUDGED_CALIBRATION: Final = "expected_calibration_error[strategy=quantile,debiased=true]"


def worst(verdicts: Iterable[Verdict]) -> VerdictState:
    """Return the worst state of the verdicts that count.

    Warnings (``on_fail`` warn) do not count. Fail is worse than error, error than inconclusive,
    inconclusive than pass. Nothing judged at all is inconclusive: missing evidence never passes.
    """
    given = list(verdicts)
    counted = [verdict.state for verdict in given if verdict.on_fail is not OnFail.WARN]
    if not given:
        return VerdictState.INCONCLUSIVE
    return max(counted, key=_ORDER.index, default=VerdictState.PASS)


def awaits_review(verdicts: Iterable[Verdict]) -> bool:
    """Say whether nothing blocks, but a person has to decide."""
    open_ones = {verdict.on_fail for verdict in verdicts if verdict.state is not VerdictState.PASS}
    return OnFail.REVIEW in open_ones and OnFail.BLOCK not in open_ones


def consequence(rule: GateRule, state: VerdictState) -> OnFail:
    """Return what a verdict in this state does.

    A failure does what ``on_fail`` says. So does an inconclusive one, unless ``on_inconclusive`` says
    ``block``, ``review`` or ``warn``. A rule that is not required never blocks for want of evidence.
    """
    if state is not VerdictState.INCONCLUSIVE:
        return rule.on_fail
    if not rule.required:
        return OnFail.WARN
    return rule.on_fail if rule.on_inconclusive == "auto" else OnFail(rule.on_inconclusive)


def default_rules(signature: Signature, risk: str = "limited") -> tuple[GateRule, ...]:
    """Return the rules for a deployment whose settings name none.

    Chosen so that an honest model on ordinary data passes, and a useless or broken one does not:

    - ``schema_faults`` 0, block: a column is missing, of another type, or labels are unknown to the model.
    - ``brier_score_loss`` (classes) or ``root_mean_squared_error`` (numbers) better than the best constant
      answer, block: a model that knows nothing, or the wrong columns. The Brier score, because log loss is
      ruined by the few exact zeros that honest forests state; squared error, because most models are fitted
      to it, and on a skewed target such a model may lose to the median in absolute error. ``log_loss``
      better than the constant is asked for as a warning.
    - ``roc_auc_score`` above 0.5, block (two classes): a blind or reversed ranking.
    - debiased ``expected_calibration_error`` at most 0.05, warn; at high risk at most 0.03, review: it can be
      repaired by recalibration, so it is no reason to refuse a model outright.
    - ``latency_p99_ms`` at most 1000, block: the default deadline of a request.
    - the loss by slice, warn: some groups are harder by nature, and a person should know which.
    - missing cells where none may be, more than 1 % unseen levels, more than 0.5 % far beyond the known range, warn:
      an honest split by time shows some of it.

    Metrics ask for 30 rows, slices for 200; intervals decide the rest. Any list under ``[[gates]]``
    replaces the whole set.
    """
    is_high = risk == "high"
    calibration = GateRule(
        metric=JUDGED_CALIBRATION,
        max=0.03 if is_high else 0.05,
        min_rows=_MIN_ROWS,
        on_fail=OnFail.REVIEW if is_high else OnFail.WARN,
    )
    is_regression = signature.task is Task.REGRESSION
    loss = "root_mean_squared_error" if is_regression else "brier_score_loss"
    rules = [GateRule(metric="schema_faults", max=0.0), _beats_constant(loss, OnFail.BLOCK)]
    if not is_regression:
        rules += [_beats_constant("log_loss", OnFail.WARN), calibration]
    if signature.task is Task.BINARY:
        rules.append(GateRule(metric="roc_auc_score", min=0.5, min_rows=_MIN_ROWS))
    rules.append(GateRule(metric="latency_p99_ms", max=_P99_MS, min_rows=_MIN_ROWS))
    columns = _slice_columns(signature)
    if columns:
        metric = "mean_absolute_error" if is_regression else "brier_score_loss"
        rules.append(GateRule(metric=metric, slices=columns, min_rows=_SLICE_ROWS, on_fail=OnFail.WARN))
    return (*rules, *_data_rules(signature))


def objection(readings: Sequence[Reading], rule: GateRule) -> str:
    """Say why these readings cannot be judged; empty if they can."""
    if not readings:
        return f"there is no reading of {rule.metric}"
    for reading in readings:
        where = "" if reading.subject == "model" else f" of {reading.subject}"
        if reading.not_evaluated is not None:
            code, _, text = reading.not_evaluated.partition(": ")
            return f"{reading.metric}{where} was not evaluated: {text or code}"
        if reading.basis is Basis.SAMPLE:
            if reading.low is None or reading.high is None:
                return f"{reading.metric}{where} has no interval"
            if reading.n < rule.min_rows:
                return f"{reading.metric}{where} rests on {reading.n} rows, {rule.min_rows} are asked for"
    return ""


def refused(gate: str, reason: str, readings: Sequence[Reading], rule: GateRule) -> Verdict:
    """Return the inconclusive verdict on evidence that is missing."""
    state = VerdictState.INCONCLUSIVE
    return Verdict(gate=gate, state=state, reason=reason, on_fail=consequence(rule, state), readings=tuple(readings))


def rows_needed(reading: Reading, limit: float) -> int | None:
    """Return how many rows would decide at this estimate and spread; None if no number would."""
    if reading.estimate is None or reading.low is None or reading.high is None or reading.estimate == limit:
        return None
    facing = reading.low if reading.estimate > limit else reading.high
    ratio = abs(reading.estimate - facing) / abs(reading.estimate - limit)
    needed = reading.n * ratio * ratio
    return int(np.ceil(round(needed, 3))) if needed < _CEILING else None


def interval_text(reading: Reading) -> str:
    """Word an estimate with its interval and rows."""
    if reading.low is None or reading.high is None:
        return f"{reading.estimate:.4g}"
    percent = f"{100 * reading.level:g} %"
    return f"{reading.estimate:.4g} ({percent} interval {reading.low:.4g} to {reading.high:.4g}, {reading.n:,} rows)"


def _beats_constant(metric: str, on_fail: OnFail) -> GateRule:
    """Ask a loss to be better than that of the best constant answer."""
    return GateRule(metric=metric, no_worse_than="baseline:dummy", margin=0.0, min_rows=_MIN_ROWS, on_fail=on_fail)


def _slice_columns(signature: Signature) -> tuple[str, ...]:
    """Choose up to three columns that cut the rows into readable groups: few levels first, then numbers."""
    named = [
        column.name
        for column in signature.columns
        if column.type is ColumnType.BOOLEAN or 1 < len(column.levels) <= _MOST_LEVELS
    ]
    numbers = [column.name for column in signature.columns if column.type in {ColumnType.INTEGER, ColumnType.FLOAT}]
    return tuple([*named, *numbers][:_SLICE_COLUMNS])


def _data_rules(signature: Signature) -> tuple[GateRule, ...]:
    """Return the warnings about the data that this signature can give."""
    rules = [GateRule(metric="missing_faults", max=0.0, on_fail=OnFail.WARN)]
    if any(column.levels for column in signature.columns):
        rules.append(GateRule(metric="unseen_level_share", max=0.01, on_fail=OnFail.WARN))
    if any(column.low is not None and column.type is not ColumnType.TEXT for column in signature.columns):
        rules.append(GateRule(metric="outside_range_share", max=0.005, on_fail=OnFail.WARN))
    return tuple(rules)
