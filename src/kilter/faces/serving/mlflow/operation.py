"""What the paths of MLflow's scoring protocol take and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.faces.serving.operation import JSON_TYPE, PREDICTED, Operation, Operations, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ERROR", "OPERATIONS", "SCHEMAS"]

ERROR = "InvocationError"
"""Name of the schema of errors."""

_LINE_END: Mapping[str, Schema] = {"text/plain": {"const": "\n"}}
_CELL = {"type": ["number", "string", "boolean", "null"]}
_CELLS = {"type": "array", "items": _CELL}
_TABLE = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/RowValues"}}
_ROWS = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Row"}}
_PARAMS = {"$ref": "#/components/schemas/InvocationParams"}
_BINARY = {"type": "string", "format": "binary"}
_CODES = [
    "BAD_REQUEST",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "INTERNAL_ERROR",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
]

SCHEMAS: Mapping[str, Schema] = {
    "InvocationError": {
        "type": "object",
        "required": ["error_code", "message"],
        "properties": {"error_code": {"enum": _CODES}, "message": {"type": "string", "maxLength": 500}},
        "additionalProperties": False,
    },
    "InvocationParams": {
        "type": ["object", "null"],
        "description": "What is not understood is ignored, and named in the answer.",
        "properties": {
            "predict_method": {"enum": ["predict", "predict_proba", None]},
            "routing_key": {"type": ["string", "null"]},
            "timeout_ms": {"type": ["integer", "null"], "minimum": 1},
        },
    },
    "InvocationRequest": {
        "oneOf": [
            {
                "type": "object",
                "required": ["dataframe_split"],
                "properties": {
                    "dataframe_split": {
                        "type": "object",
                        "required": ["data"],
                        "properties": {
                            "columns": {"$ref": "#/components/schemas/ColumnNames"},
                            "index": {"type": "array"},
                            "data": _TABLE,
                        },
                        "additionalProperties": False,
                    },
                    "params": _PARAMS,
                },
                "additionalProperties": False,
            },
            {
                "type": "object",
                "required": ["dataframe_records"],
                "properties": {"dataframe_records": _ROWS, "params": _PARAMS},
                "additionalProperties": False,
            },
            {
                "type": "object",
                "required": ["instances"],
                "properties": {"instances": {"anyOf": [_ROWS, _TABLE, _CELLS]}, "params": _PARAMS},
                "additionalProperties": False,
            },
            {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "inputs": {
                        "anyOf": [
                            _ROWS,
                            _TABLE,
                            _CELLS,
                            {"$ref": "#/components/schemas/Columns"},
                        ]
                    },
                    "params": _PARAMS,
                },
                "additionalProperties": False,
            },
        ]
    },
    "InvocationAnswer": {
        "type": "object",
        "required": ["predictions"],
        "properties": {
            "predictions": {
                "type": "array",
                "items": {
                    "anyOf": [
                        {"type": ["number", "string"]},
                        {"type": "array", "items": {"type": "number"}},
                        {
                            "type": "object",
                            "required": ["label", "score", "probabilities"],
                            "properties": {
                                "label": {"type": "string"},
                                "score": {"type": "number"},
                                "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
                            },
                            "additionalProperties": False,
                        },
                    ]
                },
            },
            "ignored_params": {"type": "array", "items": {"type": "string"}},
            "fallback": {"const": True},
        },
        "additionalProperties": False,
    },
}

_TAKES: Mapping[str, Schema] = {
    JSON_TYPE: {"$ref": "#/components/schemas/InvocationRequest"},
    "text/csv": {"type": "string", "description": "RFC 4180 with a header line; an empty cell is missing."},
    "application/vnd.apache.parquet": _BINARY,
}
_ANSWERS: Mapping[int, Mapping[str, Schema]] = {200: {JSON_TYPE: {"$ref": "#/components/schemas/InvocationAnswer"}}}

OPERATIONS: Operations = {
    ("GET", "/ping"): Operation("ping", "Whether models are served", {200: _LINE_END, 404: _LINE_END}),
    ("GET", "/health"): Operation("health", "Whether models are served", {200: _LINE_END, 404: _LINE_END}),
    ("GET", "/version"): Operation("version", "Version of kilter", {200: {"text/plain": {"type": "string"}}}),
    ("POST", "/invocations"): Operation(
        "invocations",
        "Predict with the default deployment",
        _ANSWERS,
        takes=_TAKES,
        errors=PREDICTED,
        is_prediction=True,
    ),
    ("POST", "/invocations/{}"): Operation(
        "invocationsOf",
        "Predict with one deployment",
        _ANSWERS,
        names=("deployment",),
        takes=_TAKES,
        errors=PREDICTED,
        is_prediction=True,
    ),
}
