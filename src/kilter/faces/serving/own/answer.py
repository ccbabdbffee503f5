"""The answer of ``POST /predict``: a prediction to JSON.

Answers to one row, which most are, fill a text made once for each version; others are built and
encoded as documents. Both give the same document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from kilter.contracts.signature import Task

if TYPE_CHECKING:
    from kilter.services.predictor import Prediction, Variant

__all__ = ["AnswerEncoder"]

_MAX_TEMPLATES = 256


class AnswerEncoder:
    """Words predictions.

    Guarantees: floats in their shortest form that reads back equal; the document depends on the
    prediction alone.
    """

    def __init__(self) -> None:
        self._templates: dict[tuple[str, str, str], tuple[bytes, tuple[bytes, ...]]] = {}

    def encode(self, prediction: Prediction) -> bytes:
        """Return the JSON answer of ``/predict``."""
        variant, labels = prediction.variant, prediction.labels
        if len(labels) != 1 or prediction.is_fallback or not prediction.is_logged:
            return orjson.dumps(_document(prediction))
        place = (prediction.deployment, variant.name, variant.digest)
        template, names = self._templates.get(place) or self._make(place, variant)
        request, label = prediction.prediction_id.encode(), labels[0]
        row = orjson.dumps(prediction.values[0].tolist())[1:-1].split(b",")
        score = row[label if variant.signature.task is not Task.BINARY else variant.positive]
        return template % (request, prediction.generation, request, names[label], score, *row)

    def _make(self, place: tuple[str, str, str], variant: Variant) -> tuple[bytes, tuple[bytes, ...]]:
        """Build a version's text, with a gap for each value; swaps leave a few behind, which go all at once."""
        if len(self._templates) >= _MAX_TEMPLATES:
            self._templates.clear()
        names = tuple(orjson.dumps(name) for name in variant.signature.classes)
        deployment, version, *fixed = (
            orjson.dumps(text).replace(b"%", b"%%") for text in (*place[:2], *variant.signature.classes)
        )
        made = (
            b'{"prediction_id":"%b","deployment":' + deployment + b',"version":' + version + b',"generation":%d,'
            b'"predictions":[{"id":"%b:0","label":%b,"score":%b,"probabilities":{'
            + b",".join(name + b":%b" for name in fixed)
            + b"}}]}"
        )
        self._templates[place] = (made, names)
        return made, names


def _document(prediction: Prediction) -> dict[str, Any]:
    """Return the answer as a document."""
    variant, request = prediction.variant, prediction.prediction_id
    signature = variant.signature
    rows: list[dict[str, Any]]
    values = prediction.values.tolist()
    if signature.task is Task.REGRESSION:
        rows = [{"id": f"{request}:{index}", "value": value} for index, value in enumerate(values)]
    else:
        classes, decided = signature.classes, prediction.labels
        positive = variant.positive if signature.task is Task.BINARY else None
        rows = [
            {
                "id": f"{request}:{index}",
                "label": classes[label],
                "score": row[label if positive is None else positive],
                "probabilities": dict(zip(classes, row, strict=True)),
            }
            for index, (label, row) in enumerate(zip(decided, values, strict=True))
        ]
    document = {
        "prediction_id": request,
        "deployment": prediction.deployment,
        "version": variant.name,
        "generation": prediction.generation,
        "predictions": rows,
    }
    if prediction.is_fallback:
        document["fallback"] = True
    if not prediction.is_logged:
        document["logged"] = False
    return document
