"""Predictions in MLflow's form: a list for one output, records for several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from kilter.contracts.signature import Task
from kilter.errors import InvalidRequest

if TYPE_CHECKING:
    from kilter.contracts.signature import Signature
    from kilter.services.predictor import Prediction

__all__ = ["check_method", "encode_predictions"]


def check_method(signature: Signature, method: str) -> None:
    """Refuse probabilities of a model that has none.

    Raises
    ------
    InvalidRequest
        If that was asked for.
    """
    if method == "predict_proba" and signature.task is Task.REGRESSION:
        message = "params.predict_method: this model predicts a number, which has no probabilities"
        raise InvalidRequest(message, hint="leave `predict_method` out", details={"field": "params.predict_method"})


def encode_predictions(prediction: Prediction, *, method: str = "", ignored: tuple[str, ...] = ()) -> bytes:
    """Return the JSON answer of ``/invocations``.

    Parameters
    ----------
    prediction : Prediction
        What was predicted.
    method : "", "predict" or "predict_proba"
        Empty: numbers of a regression, and of a classifier records of ``label``, ``score`` and
        ``probabilities``. ``predict``: what scikit-learn's method of this name gives, a list of
        numbers or labels. ``predict_proba``: a list of lists in the order of the classes.
    ignored : tuple of str
        Parameters that were not understood; named in the answer if there are any.
    """
    signature = prediction.variant.signature
    answer: dict[str, Any] = {"predictions": _rows(prediction, signature, method)}
    if ignored:
        answer["ignored_params"] = ignored
    if prediction.is_fallback:
        answer["fallback"] = True
    return orjson.dumps(answer)


def _rows(prediction: Prediction, signature: Signature, method: str) -> list[Any]:
    """Return one item per row."""
    values: list[Any] = prediction.values.tolist()
    if signature.task is Task.REGRESSION or method == "predict_proba":
        return values
    classes, decided = signature.classes, prediction.labels
    if method == "predict":
        return [classes[label] for label in decided]
    positive = signature.positive_index if signature.task is Task.BINARY else None
    return [
        {
            "label": classes[label],
            "score": row[label if positive is None else positive],
            "probabilities": dict(zip(classes, row, strict=True)),
        }
        for label, row in zip(decided, values, strict=True)
    ]
