"""What the paths of the Open Inference Protocol take and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.faces.serving.operation import (
    JSON_TYPE,
    NAMED,
    PREDICTED,
    Operation,
    Operations,
    Schema,
    array,
    as_json,
    record,
    ref,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ERROR", "OPERATIONS", "SCHEMAS"]

ERROR = "TensorError"
"""Name of the schema of errors."""

_TEXT = {"type": "string"}
_TRUTH = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_CELL = {"type": ["number", "string", "boolean", "null"]}
_DATATYPE = {
    "enum": [
        *("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
        *("FP16", "BF16", "FP32", "FP64", "BYTES"),
    ]
}
_ANY = {"type": "object"}


_SPEC = record({"name": _TEXT, "datatype": _DATATYPE, "shape": array({"type": "integer", "minimum": -1})})
_SIZED = record({"name": _TEXT, "data_type": _TEXT, "dims": array({"type": "integer", "minimum": -1})}, is_open=True)
_DURATION = record({"count": _COUNT, "ns": _COUNT})

SCHEMAS: Mapping[str, Schema] = {
    "TensorError": record({"error": {"type": "string", "maxLength": 500}}),
    "Tensor": record(
        {"name": _TEXT, "datatype": _DATATYPE, "shape": array(_COUNT)},
        {"data": array({"anyOf": [_CELL, array(_CELL)]}), "parameters": _ANY},
        is_open=True,
    ),
    "TensorParameters": record(
        {},
        {
            "routing_key": {"type": ["string", "null"]},
            "timeout": {"type": ["integer", "null"], "minimum": 0, "description": "Microseconds; 0 is none."},
            "binary_data_output": {"type": ["boolean", "null"]},
        },
        is_open=True,
    ),
    "TensorRequest": record(
        {"inputs": ref("Tensors")},
        {
            "id": {"type": ["string", "null"]},
            "parameters": {"anyOf": [ref("TensorParameters"), {"type": "null"}]},
            "outputs": array(record({"name": _TEXT}, {"parameters": _ANY}, is_open=True)),
        },
        is_open=True,
    ),
    "TensorAnswer": record(
        {"model_name": _TEXT, "model_version": _TEXT, "parameters": _ANY, "outputs": array(ref("Tensor"))},
        {"id": _TEXT},
    ),
    "Server": record({"name": {"const": "kilter"}, "version": _TEXT, "extensions": array(_TEXT)}),
    "Model": record(
        {
            "name": _TEXT,
            "versions": array(_TEXT),
            "platform": _TEXT,
            "inputs": array(_SPEC, 1),
            "outputs": array(_SPEC, 1),
        }
    ),
    "ModelReady": record({"name": _TEXT, "ready": _TRUTH}),
    "ModelConfig": record(
        {
            "name": _TEXT,
            "platform": _TEXT,
            "backend": _TEXT,
            "max_batch_size": _COUNT,
            "input": array(_SIZED, 1),
            "output": array(_SIZED, 1),
        },
        is_open=True,
    ),
    "ModelStatistics": record(
        {
            "model_stats": array(
                record(
                    {
                        "name": _TEXT,
                        "version": _TEXT,
                        "last_inference": _COUNT,
                        "inference_count": _COUNT,
                        "execution_count": _COUNT,
                        "inference_stats": record(
                            {
                                "success": _DURATION,
                                "fail": _DURATION,
                                "queue": _DURATION,
                                "compute_input": _DURATION,
                                "compute_infer": _DURATION,
                                "compute_output": _DURATION,
                            }
                        ),
                        "batch_stats": {"type": "array"},
                    }
                )
            )
        }
    ),
    "RepositoryIndex": array(record({"name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT})),
}

_READY = record({"ready": _TRUTH})
_ORDER = record({}, {"parameters": {"type": ["object", "null"]}}, is_open=True)
_BINARY: Schema = {"type": "string", "format": "binary"}
_PACKED: Schema = {
    **_BINARY,
    "description": "JSON, and raw tensors behind it; the header `inference-header-content-length` says how long the"
    " JSON is, 0 that the body is one raw tensor. That header decides, whatever the content type.",
}
_READS = (
    ("", "model", "Inputs and outputs of a model", {200: as_json("Model")}),
    (
        "/ready",
        "modelReady",
        "Whether a model is loaded",
        {200: as_json("ModelReady"), 503: {JSON_TYPE: {"anyOf": [ref("ModelReady"), ref(ERROR)]}}},
    ),
    ("/config", "modelConfig", "A model's configuration, in Triton's form", {200: as_json("ModelConfig")}),
    ("/stats", "modelStatistics", "Counts and durations of a model", {200: as_json("ModelStatistics")}),
)
_PLACES = (
    ("", "", "", ("model",)),
    ("/versions/{}", "OfVersion", ", one version", ("model", "version")),
)

OPERATIONS: Operations = {
    ("GET", "/v2"): Operation("server", "Name, version and extensions of the server", {200: as_json("Server")}),
    ("GET", "/v2/health/live"): Operation(
        "live", "Whether the process lives", {200: {JSON_TYPE: record({"live": {"const": True}})}}
    ),
    ("GET", "/v2/health/ready"): Operation(
        "ready",
        "Whether all models are ready",
        {200: {JSON_TYPE: _READY}, 503: {JSON_TYPE: {"anyOf": [_READY, ref(ERROR)]}}},
    ),
    ("GET", "/v2/models/stats"): Operation(
        "statistics", "Counts and durations of all models", {200: as_json("ModelStatistics")}
    ),
    ("POST", "/v2/repository/index"): Operation(
        "repositoryIndex",
        "All versions with their states",
        {200: as_json("RepositoryIndex")},
        takes={JSON_TYPE: record({}, {"ready": {"type": ["boolean", "null"]}}, is_open=True)},
        is_body_optional=True,
    ),
    **{
        ("POST", f"/v2/repository/models/{{}}/{verb}"): Operation(
            verb,
            about,
            {200: {JSON_TYPE: record({"name": _TEXT, verb: {"const": True}})}},
            names=("model",),
            takes={JSON_TYPE: _ORDER},
            errors=(*NAMED, 403),
            is_body_optional=True,
        )
        for verb, about in (("load", "Serve a model on this node"), ("unload", "Stop serving a model on this node"))
    },
    **{
        ("GET", f"/v2/models/{{}}{place}{ending}"): Operation(
            f"{name}{suffix}", f"{about}{which}", answers, names=names, errors=NAMED
        )
        for place, suffix, which, names in _PLACES
        for ending, name, about, answers in _READS
    },
    **{
        ("POST", f"/v2/models/{{}}{place}/infer"): Operation(
            f"infer{suffix}",
            f"Predict for tensors{which}",
            {200: {**as_json("TensorAnswer"), "application/octet-stream": _BINARY}},
            names=names,
            takes={**as_json("TensorRequest"), "application/octet-stream": _PACKED},
            errors=PREDICTED,
            is_prediction=True,
        )
        for place, suffix, which, names in _PLACES
    },
}
