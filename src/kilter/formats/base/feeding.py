"""Rows in the form that an estimator was trained on: a matrix, or a frame with named columns."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from kilter.contracts.batch import Batch, Scores
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.errors import ModelFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Estimator: TypeAlias = Any
"""A fitted scikit-learn estimator; the library ships no types."""

_LIBRARIES = ("sklearn.", "xgboost.", "lightgbm.")

__all__ = ["Estimator", "NativeModel", "learned_texts", "needs_columns", "parts"]


def parts(estimator: Estimator) -> Iterator[Estimator]:
    """Yield an estimator and every object of its library inside it."""
    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if hasattr(item, "__dict__") and type(item).__module__.startswith(_LIBRARIES):
            yield item
            waiting += list(vars(item).values())
        elif isinstance(item, dict):
            waiting += list(item.values())
        elif isinstance(item, list | tuple) or (isinstance(item, np.ndarray) and item.dtype == np.object_):
            waiting += list(item)


def needs_columns(estimator: Estimator, signature: Signature) -> bool:
    """Say whether the estimator looks columns up by name, or takes text."""
    return bool(signature.text_names) or any(hasattr(part, "transformers") for part in parts(estimator))


def learned_texts(estimator: Estimator) -> frozenset[str]:
    """Return the texts that encoders inside an estimator know."""
    return frozenset(
        level
        for part in parts(estimator)
        for levels in getattr(part, "categories_", None) or ()
        for level in np.asarray(levels, dtype=np.object_).tolist()
        if isinstance(level, str)
    )


class NativeModel:
    """An estimator as a LoadedModel, run by scikit-learn itself."""

    def __init__(self, estimator: Estimator, signature: Signature) -> None:
        self._signature = signature
        self._has_names = needs_columns(estimator, signature)
        self._pandas = _installed_pandas() if self._has_names else None
        self._estimator = estimator if self._pandas is not None else _by_position(estimator)
        self._gap = _missing_text(estimator)
        self._is_categorical = getattr(estimator, "is_categorical_", None) is not None and bool(signature.text_names)

    def run(self, batch: Batch) -> Scores:
        """Score the rows.

        Raises
        ------
        ModelFailed
            If the estimator raises, or answers in an illegal shape.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = self._frame(batch) if self._has_names else np.asarray(batch.numeric)
                if self._signature.task is Task.REGRESSION:
                    values = np.asarray(self._estimator.predict(rows), dtype=np.float64).reshape(batch.rows)
                else:
                    values = np.asarray(self._estimator.predict_proba(rows), dtype=np.float64)
        except Exception as error:  # an estimator may raise anything
            msg = "the scikit-learn model failed on this input"
            raise ModelFailed(msg, why=f"{type(error).__name__}: {str(error)[:300]}") from error
        expected = (batch.rows, *((len(self._signature.classes),) if self._signature.classes else ()))
        if values.shape != expected:
            msg = f"the scikit-learn model answered shape {list(values.shape)}, expected {list(expected)}"
            raise ModelFailed(msg)
        return Scores(values=values)

    def close(self) -> None:
        """Let the estimator go with its last reference."""

    def _frame(self, batch: Batch) -> object:
        """Build the frame that names columns: pandas where it is installed, else objects in order."""
        numeric, text = iter(np.asarray(batch.numeric).T), iter(np.asarray(batch.text).T)
        columns = {
            column.name: self._texts(next(text)) if column.type is ColumnType.TEXT else _numbers(column, next(numeric))
            for column in self._signature.columns
        }
        if self._pandas is None:
            return np.stack([values.astype(np.object_) for values in columns.values()], axis=1)
        pd = self._pandas
        return pd.DataFrame({name: pd.Series(values, dtype=self._dtype(values)) for name, values in columns.items()})

    def _texts(self, values: NDArray[Any]) -> NDArray[Any]:
        """Put the estimator's own kind of missing value in place of None."""
        if self._gap is None:
            return values
        return np.array([self._gap if value is None else value for value in values.tolist()], dtype=np.object_)

    def _dtype(self, values: NDArray[Any]) -> Any:  # noqa: ANN401 - numpy's and pandas' types
        """Give text to a categorical model as categories."""
        return "category" if self._is_categorical and values.dtype == np.object_ else values.dtype


def _numbers(column: Column, values: NDArray[np.float64]) -> NDArray[Any]:
    """Give integers and booleans back their own type where nothing is missing."""
    if column.type is ColumnType.FLOAT or np.isnan(values).any():
        return values
    return values.astype(np.bool_ if column.type is ColumnType.BOOLEAN else np.int64)


def _missing_text(estimator: Estimator) -> float | None:
    """Return what stands for a missing text cell: NaN as in pandas, unless an encoder has learned None."""
    for part in parts(estimator):
        for levels in getattr(part, "categories_", None) or ():
            if any(value is None for value in np.asarray(levels, dtype=np.object_).tolist()):
                return None
    return float("nan")


def _installed_pandas() -> Any:  # noqa: ANN401 - pandas ships no types, and may not be there
    """Return pandas where the user has it; it is loaded in a child, and only for models over named columns."""
    try:
        import pandas as pd  # type: ignore[import-untyped] # noqa: PLC0415 - as said
    except ModuleNotFoundError:
        return None
    return pd


def _by_position(estimator: Estimator) -> Estimator:
    """Copy an estimator so that it takes its columns by position: without a frame there are no names."""
    if not hasattr(estimator, "feature_names_in_"):
        return estimator
    model = copy.deepcopy(estimator)
    for part in parts(model):
        part.__dict__.pop("feature_names_in_", None)
        positions = getattr(part, "_transformer_to_input_indices", None)
        if positions is not None and hasattr(part, "transformers_"):
            part.transformers_ = [(name, step, positions[name]) for name, step, _ in part.transformers_]
    return model
