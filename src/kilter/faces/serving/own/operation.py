"""What kilter's own paths take and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.faces.serving.operation import JSON_TYPE, NAMED, PREDICTED, Operation, Operations, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ERROR", "OPERATIONS", "SCHEMAS"]

ERROR = "Error"
"""Name of the schema of errors."""

_TEXT = {"type": "string"}
_SHORT = {"type": "string", "minLength": 1, "maxLength": 256}
_NUMBER = {"type": "number"}
_ROWS = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Row"}}
_PREDICTION_ID = {
    "type": "string",
    "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(:(0|[1-9][0-9]{0,6}))?$",
}

SCHEMAS: Mapping[str, Schema] = {
    "Error": {
        "type": "object",
        "required": ["error", "code", "field", "hint"],
        "properties": {
            "error": {"type": "string", "description": "What was expected, and what was sent."},
            "code": {"type": "string", "description": "Stable; each has a page in the documentation."},
            "field": {"type": ["string", "null"], "description": "The place in the request."},
            "hint": {"type": ["string", "null"], "description": "How to fix it."},
        },
    },
    "RowRequest": {
        "anyOf": [
            {
                "type": "object",
                "required": ["rows"],
                "properties": {
                    "rows": _ROWS,
                    "routing_key": {"type": ["string", "null"]},
                    "timeout_ms": {"type": ["integer", "null"], "minimum": 1},
                },
                "additionalProperties": False,
            },
            _ROWS,
        ]
    },
    "RowPrediction": {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": _TEXT,
            "label": _TEXT,
            "score": _NUMBER,
            "probabilities": {"type": "object", "additionalProperties": _NUMBER},
            "value": _NUMBER,
        },
        "additionalProperties": False,
    },
    "RowAnswer": {
        "type": "object",
        "required": ["prediction_id", "deployment", "version", "generation", "predictions"],
        "properties": {
            "prediction_id": _TEXT,
            "deployment": _TEXT,
            "version": _TEXT,
            "generation": {"type": "integer", "minimum": 1},
            "predictions": {"type": "array", "items": {"$ref": "#/components/schemas/RowPrediction"}},
            "fallback": {"const": True, "description": "Another version answered instead, as the deployment allows."},
        },
        "additionalProperties": False,
    },
    "Label": {
        "type": "object",
        "required": ["label"],
        "properties": {
            "prediction_id": {**_PREDICTION_ID, "description": "With `:ROW` for one of several rows."},
            "entity_id": {**_SHORT, "description": "Instead of `prediction_id`: the latest prediction for it."},
            "label": {"$ref": "#/components/schemas/Truth"},
            "observed_at": {"type": "string", "format": "date-time"},
            "name": {**_SHORT, "description": "The target; default the only one."},
            "source": _SHORT,
            "weight": {"type": "number", "exclusiveMinimum": 0},
            "feedback_id": {**_SHORT, "description": "Default: a hash of the content, so that replays are harmless."},
        },
        "oneOf": [{"required": ["prediction_id"]}, {"required": ["entity_id"]}],
        "additionalProperties": False,
    },
    "FeedbackRequest": {
        "anyOf": [
            {"$ref": "#/components/schemas/Label"},
            {
                "type": "object",
                "required": ["feedback"],
                "properties": {
                    "feedback": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Label"}}
                },
                "additionalProperties": False,
            },
        ]
    },
    "FeedbackAnswer": {
        "type": "object",
        "required": ["accepted"],
        "properties": {"accepted": {"type": "integer", "minimum": 1}},
        "additionalProperties": False,
    },
}

OPERATIONS: Operations = {
    ("POST", "/predict/{}"): Operation(
        "predict",
        "Predict for rows",
        {200: {JSON_TYPE: {"$ref": "#/components/schemas/RowAnswer"}}},
        names=("deployment",),
        takes={JSON_TYPE: {"$ref": "#/components/schemas/RowRequest"}},
        errors=PREDICTED,
        is_prediction=True,
    ),
    ("POST", "/feedback/{}"): Operation(
        "feedback",
        "Send what was true",
        {202: {JSON_TYPE: {"$ref": "#/components/schemas/FeedbackAnswer"}}},
        names=("deployment",),
        takes={JSON_TYPE: {"$ref": "#/components/schemas/FeedbackRequest"}},
        errors=NAMED,
    ),
}
