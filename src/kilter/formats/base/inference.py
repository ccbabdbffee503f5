"""What a model takes and gives, inferred from the model and a reference table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kilter.contracts.batch import Batch
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import FormatError, ModelFailed, SchemaMismatch, UnknownName
from kilter.measures.rows import batch_of, label_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from kilter.contracts.format import LoadedModel, ReferenceTable
    from kilter.formats.base.feeding import Estimator
    from kilter.formats.base.reference import Reference

__all__ = ["classes_of", "estimator_signature", "fit_missing", "input_columns", "make_signature", "sample_rows"]

_SAMPLE_ROWS = 2_000


def input_columns(
    reference: Reference, request: ReferenceTable, names: tuple[str, ...], width: int | None
) -> tuple[str, ...]:
    """Return the columns that a model takes, in its order.

    Raises
    ------
    SchemaMismatch
        If the reference lacks a column that the model names, or has another number than it takes.
    """
    if request.target and request.target not in reference.columns:
        msg = "column"
        raise UnknownName.among(msg, request.target, reference.columns, where="--target")
    if names:
        missing = [name for name in names if name not in reference.columns]
        if missing:
            msg = f"the reference table lacks {len(missing)} column(s) that the model takes: {_shown(missing)}"
            raise SchemaMismatch(
                msg,
                why=f"it has {_shown(list(reference.columns))}",
                hint="give the table that the model was trained on, before any encoding done outside the model",
                details={"missing": [*missing]},
            )
        return names
    others = [name for name in reference.columns if name != request.target]
    kept = [name for name in others if name not in request.ignored]
    for candidates in (kept, others):
        if width is None or len(candidates) == width:
            return tuple(candidates)
    msg = f"the model takes {width} columns, the reference table has {len(kept)} beside the target: {_shown(kept)}"
    raise SchemaMismatch(
        msg,
        why="the model was trained without column names, so all columns are taken in order",
        hint="give a table with exactly the model's columns and the target, or train with named columns",
    )


def estimator_signature(estimator: Estimator, reference: Reference, request: ReferenceTable) -> Signature:
    """Infer the signature of a scikit-learn model.

    Raises
    ------
    FormatError
        If it is a classifier without probabilities, or answers several outputs.
    SchemaMismatch
        If it does not fit the reference table.
    """
    names = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
    width = getattr(estimator, "n_features_in_", None)
    columns = input_columns(reference, request, names, None if width is None else int(width))
    classes: tuple[str, ...] = ()
    if hasattr(estimator, "classes_"):
        if isinstance(estimator.classes_, list):
            msg = "the model answers several outputs at once, which kilter does not serve"
            raise FormatError(
                msg,
                hint="train one model per target",
            )
        classes = tuple(label_text(label) for label in np.asarray(estimator.classes_).tolist())
        if not hasattr(estimator, "predict_proba"):
            msg = f"{type(estimator).__name__} gives no probabilities (it has no `predict_proba`)"
            raise FormatError(
                msg,
                why="kilter needs probabilities to monitor, calibrate and compare models",
                hint="wrap it in `CalibratedClassifierCV(model)` and fit that",
            )
    return make_signature(reference, request, columns, classes)


def make_signature(
    reference: Reference, request: ReferenceTable, columns: tuple[str, ...], classes: tuple[str, ...]
) -> Signature:
    """Put a signature together.

    Raises
    ------
    SchemaMismatch
        If the task asked for is not that of the model, or the positive class is none of its classes.
    """
    task = Task.REGRESSION if not classes else Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    if request.task not in ("auto", task.value):
        msg = f"the model is for {task.value}, the task asked for is {request.task}"
        raise SchemaMismatch(msg, hint=f'set `task = "{task.value}"`')
    positive = ""
    if task is Task.BINARY:
        positive = request.positive or _rarer(reference, request.target, classes)
        if positive not in classes:
            msg = "class"
            raise UnknownName.among(msg, positive, classes, where="--positive")
    described = tuple(reference.column(name) for name in columns)
    return Signature(task=task, target=request.target, columns=described, classes=classes, positive=positive)


def classes_of(reference: Reference, target: str) -> tuple[str, ...]:
    """Return the distinct labels of the reference, numbers in order of value."""
    labels = [label for label in _labels(reference, target) if label is not None]
    distinct = sorted(set(labels))
    try:
        return tuple(sorted(distinct, key=float))
    except ValueError:
        return tuple(distinct)


def sample_rows(reference: Reference, signature: Signature) -> Batch:
    """Take up to 2,000 rows, evenly spaced."""
    positions = np.unique(np.linspace(0, reference.rows - 1, min(reference.rows, _SAMPLE_ROWS)).astype(np.int64))
    names = {column.name for column in signature.columns}
    return batch_of(signature, {name: values[positions] for name, values in reference.columns.items() if name in names})


def fit_missing(
    signature: Signature, load: Callable[[Signature], LoadedModel], batch: Batch
) -> tuple[Signature, Batch]:
    """Keep ``nullable`` only where the model answers rows with a gap; drop sample rows it cannot answer.

    Raises
    ------
    SchemaMismatch
        If the model answers no row of the reference.
    """
    gaps = {column.name: _gaps(signature, batch, column) for column in signature.columns}
    whole = take(batch, ~np.any(list(gaps.values()), axis=0)) if gaps else batch
    model = load(signature)
    columns = tuple(
        replace(column, nullable=column.nullable and _answers_gaps(model, take(batch, gaps[column.name])))
        for column in signature.columns
    )
    fitted = replace(signature, columns=columns)
    refused = [gaps[column.name] for column in columns if not column.nullable]
    usable = take(batch, ~np.any(refused, axis=0)) if refused else batch
    if usable.rows == 0:
        usable = whole
    try:
        model.run(take(usable, np.arange(min(usable.rows, 8))))
    except ModelFailed as error:
        msg = "the model cannot score rows of the reference table"
        raise SchemaMismatch(
            msg,
            why=error.why,
            hint="give the table that the model was trained on, with the same columns and types",
        ) from error
    return fitted, usable


def take(batch: Batch, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Batch:
    """Select rows of a batch."""
    numeric, text = np.asarray(batch.numeric)[rows], np.asarray(batch.text)[rows]
    return Batch(rows=numeric.shape[0], numeric=np.ascontiguousarray(numeric), text=text)


def _gaps(signature: Signature, batch: Batch, column: Column) -> NDArray[np.bool_]:
    """Mark the rows where a column is missing."""
    if column.type is ColumnType.TEXT:
        texts = np.asarray(batch.text)[:, signature.text_names.index(column.name)]
        return np.array([value is None for value in texts.tolist()], dtype=np.bool_)
    numbers: NDArray[np.float64] = np.asarray(batch.numeric)[:, signature.numeric_names.index(column.name)]
    return np.isnan(numbers)


def _answers_gaps(model: LoadedModel, batch: Batch) -> bool:
    """Say whether a model gives finite answers for rows with a gap."""
    if batch.rows == 0:
        return True
    try:
        values = np.asarray(model.run(take(batch, np.arange(min(batch.rows, 20)))).values)
    except ModelFailed:
        return False
    return bool(np.isfinite(values).all())


def _labels(reference: Reference, target: str) -> list[str | None]:
    """Return the labels of the reference as text."""
    kind = reference.types[target]
    cells: list[Any] = reference.columns[target].tolist()
    if kind is ColumnType.TEXT:
        return cells
    if kind is ColumnType.BOOLEAN:
        return [None if value != value else label_text(bool(value)) for value in cells]  # noqa: PLR0124 - NaN
    return [None if value != value else label_text(value) for value in cells]  # noqa: PLR0124 - NaN


def _rarer(reference: Reference, target: str, classes: tuple[str, ...]) -> str:
    """Return the class seen less often; the last one if there are no labels, or as many of each."""
    if not target:
        return classes[-1]
    counts = Counter(label for label in _labels(reference, target) if label is not None)
    aliases = {"true": "1", "false": "0", "1": "true", "0": "false"}
    seen = {name: counts[name] + (0 if name in counts else counts[aliases.get(name, "")]) for name in classes}
    if not any(seen.values()):
        msg = f"the target `{target}` holds none of the model's classes {list(classes)}"
        raise SchemaMismatch(
            msg,
            why=f"it holds {_shown(list(counts))}",
            hint="name the column that the model was trained to predict with `--target`",
        )
    return classes[0] if seen[classes[0]] < seen[classes[1]] else classes[1]


def _shown(names: list[str]) -> str:
    """Shorten a list of names."""
    return ", ".join(f"`{name}`" for name in names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
