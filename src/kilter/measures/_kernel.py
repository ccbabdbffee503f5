"""What the measures share: the rows that count, and readings made of influence values."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from kilter.contracts.reading import Reading
from kilter.contracts.signature import Signature, Task
from kilter.errors import SchemaMismatch
from kilter.measures.interval import Influence, logit_interval, mean_interval
from kilter.measures.rows import decided

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from kilter.contracts.check import CheckInputs, CheckSpec
    from kilter.measures.rows import FloatArray

    Found: TypeAlias = Influence | str

CLASSIFIERS = (Task.BINARY, Task.MULTICLASS)

_LARGEST = 1e150  # its square is still a number


def require_same_rows(**arrays: FloatArray | None) -> None:
    """Raise SchemaMismatch unless all arrays given have the same number of rows, at least one."""
    rows = {name: values.shape[0] for name, values in arrays.items() if values is not None}
    if len(set(rows.values())) > 1:
        shown = ", ".join(f"{name} {n}" for name, n in rows.items())
        msg = f"arrays differ in length: {shown}"
        raise SchemaMismatch(msg, hint="give one value per row in each")
    if 0 in rows.values():
        msg = "arrays are empty: expected at least one row"
        raise SchemaMismatch(msg, hint="give at least one row")


def truth(inputs: CheckInputs, *tasks: Task) -> tuple[FloatArray, FloatArray] | str:
    """Return labels and scores of the labelled rows, or the reason why there are none."""
    task = inputs.signature.task
    if tasks and task not in tasks:
        return f"wrong_task: not defined for {task.value}"
    if inputs.labels is None:
        return "no_labels: the data holds no labels"
    if inputs.scores is None:
        return "no_scores: the model gave no scores"
    labels, scores = np.asarray(inputs.labels, dtype=np.float64), np.asarray(inputs.scores, dtype=np.float64)
    known = np.isfinite(labels)
    labels, scores = labels[known], scores[known]
    if task is Task.REGRESSION:
        scores = scores.reshape(-1)
    return _objection(labels, scores) or (labels, scores)


def _objection(labels: FloatArray, scores: FloatArray) -> str:
    """Say why these rows cannot be measured; empty if they can."""
    if labels.size == 0:
        return "no_labels: no row has a label that the model knows"
    if labels.size < 2:
        return "too_few_rows: one labelled row is not enough"
    broken = int((~np.isfinite(scores.reshape(labels.size, -1)).all(axis=1)).sum())
    if broken:
        return f"no_scores: {broken} rows have a score that is not finite"
    if max(np.abs(labels).max(), np.abs(scores).max()) > _LARGEST:
        return f"unsupported_type: values beyond {_LARGEST:g} cannot be squared"
    return ""


def binary_truth(inputs: CheckInputs) -> tuple[FloatArray, FloatArray] | str:
    """Return 0/1 labels and probabilities of the positive class, or the reason why there are none."""
    found = truth(inputs, Task.BINARY)
    return found if isinstance(found, str) else is_positive(inputs.signature, *found)


def is_positive(signature: Signature, labels: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn class positions and class probabilities of a binary model into 0/1 and one probability."""
    position = signature.positive_index
    return (labels == position).astype(np.float64), scores[:, position]


def stated_truth(inputs: CheckInputs) -> tuple[FloatArray, FloatArray] | str:
    """Return 0/1 outcomes and the probabilities stated for them: positive class, or top label."""
    if inputs.signature.task is Task.BINARY:
        return binary_truth(inputs)
    found = truth(inputs, Task.MULTICLASS)
    if isinstance(found, str):
        return found
    labels, scores = found
    return (np.argmax(scores, axis=1) == labels).astype(np.float64), scores.max(axis=1)


def decisions(inputs: CheckInputs) -> tuple[FloatArray, FloatArray] | str:
    """Return labels and decided labels as class positions, or the reason why there are none."""
    found = truth(inputs, *CLASSIFIERS)
    if isinstance(found, str):
        return found
    labels, scores = found
    return labels, decided(inputs.signature, scores, inputs.threshold)


def mean(losses: FloatArray) -> Influence:
    """Return the mean with its influence values."""
    estimate = float(losses.mean())
    return Influence(estimate, losses - estimate, losses.size)


def ratio(part: FloatArray, whole: FloatArray) -> Influence:
    """Return sum(part) / sum(whole) with its influence values; the whole is not 0.

    Rows of the largest weight count as one case each, the others in proportion: at 0 or 1 the interval of an F score
    is then that of its set overlap, mapped.
    """
    estimate = float(part.sum() / whole.sum())
    return Influence(estimate, (part - estimate * whole) / whole.mean(), int(whole.sum() / whole.max()))


def average(found: Sequence[Influence]) -> Influence:
    """Return the plain mean of measures of the same rows; the smallest count of cases speaks for it."""
    psi = np.mean([one.psi for one in found], axis=0)
    return Influence(float(np.mean([one.estimate for one in found])), psi, min(one.n_eff for one in found))


def class_ratio(
    inputs: CheckInputs, parts: Callable[[NDArray[np.bool_], NDArray[np.bool_]], tuple[FloatArray, FloatArray]]
) -> Found:
    """Return a ratio for the positive class, or its plain mean over the classes of a multiclass model."""
    found = decisions(inputs)
    if isinstance(found, str):
        return found
    labels, called = found
    signature = inputs.signature
    is_binary = signature.task is Task.BINARY
    ratios = []
    for position in (signature.positive_index,) if is_binary else range(len(signature.classes)):
        part, whole = parts(labels == position, called == position)
        if not whole.any():
            return f"constant: no row of class `{signature.classes[position]}` to divide by"
        ratios.append(ratio(part, whole))
    return average(ratios)


def absent_class(signature: Signature, labels: FloatArray) -> str:
    """Say which declared class no row has; empty if all are there."""
    absent = [name for position, name in enumerate(signature.classes) if not (labels == position).any()]
    if not absent:
        return ""
    code = "one_class" if len(absent) == len(signature.classes) - 1 else "too_few_rows"
    return f"{code}: no row of class `{absent[0]}`"


def metric_readings(
    spec: CheckSpec, found: Found, *, metric: str = "", subject: str = "model", level: float = 0.95
) -> tuple[Reading, ...]:
    """Make the one reading of a metric: logit or Wilson interval in [0, 1], else t."""
    name = metric or spec.id
    if isinstance(found, str):
        return (Reading(metric=name, subject=subject, direction=spec.direction, not_evaluated=found),)
    method = "t"
    if spec.unit_range:
        method = "logit" if 0 < found.estimate < 1 else "wilson"
        low, high = logit_interval(found.estimate, found.psi, n_eff=found.n_eff, level=level)
    else:
        low, high = mean_interval(found.estimate, found.psi, level=level)
    return (
        Reading(
            metric=name,
            subject=subject,
            estimate=found.estimate,
            low=low,
            high=high,
            level=level,
            interval_method=method,
            n=found.psi.size,
            direction=spec.direction,
        ),
    )
