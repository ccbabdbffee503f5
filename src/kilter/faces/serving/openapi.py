"""The OpenAPI document of the data plane, put together from what each protocol states beside its handlers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from kilter.contracts.signature import ColumnType, Task
from kilter.contracts.version import VERSION
from kilter.errors import NotReady
from kilter.faces.serving.exchange import JSON, Reply
from kilter.faces.serving.metrics import operation as metrics
from kilter.faces.serving.mlflow import operation as mlflow
from kilter.faces.serving.oip import operation as oip
from kilter.faces.serving.operation import JSON_TYPE, Operation, Operations, Schema, array, ref
from kilter.faces.serving.own import operation as own
from kilter.faces.serving.router import plain_wording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilter.contracts.signature import Column, Signature
    from kilter.errors import KilterError
    from kilter.faces.serving.exchange import Handler, Request
    from kilter.services.predictor import Predictor

__all__ = ["OpenApiEndpoints", "Served", "document", "operations"]

_EXACT = 2**53
_ABOUT = (
    "What a node of kilter answers on its data plane. A document that a node publishes itself names its deployments,"
    " and describes the columns that their models take."
)
_STATUSES = {
    400: "The request is wrong: the message says what, where and how to fix it.",
    403: "Not something a client may ask for.",
    404: "There is no such deployment or version.",
    408: "The request did not arrive in time.",
    413: "The body is larger than is taken; the connection is closed.",
    414: "The URL is longer than is taken; the connection is closed.",
    415: "The content type or coding is not spoken here.",
    429: "More work than can be done in time: come back after `retry-after` seconds.",
    431: "The headers are more or longer than are taken; the connection is closed.",
    500: "The model failed, or kilter did.",
    503: "Not ready yet, or the log cannot take the record.",
    504: "The deadline passed before the answer was there.",
}
_HEADERS: Mapping[str, Schema] = {
    "kilter-routing-key": {
        "schema": {"type": "string", "pattern": "^[!-~]{1,64}$"},
        "description": "Keeps a user on one version.",
    },
    "kilter-timeout-ms": {"schema": {"type": "integer", "minimum": 1}, "description": "The caller's deadline."},
    "x-request-id": {"schema": {"type": "string", "pattern": "^[!-~]{1,64}$"}, "description": "Logged, never trusted."},
}
_ANSWER_HEADERS = {
    "kilter-prediction-id": {"type": "string"},
    "kilter-model-version": {"type": "string"},
    "kilter-generation": {"type": "string"},
}
_TRUTH: Schema = {"type": ["string", "number", "boolean"], "description": "What was true."}
_OPEN_API: Operations = {
    ("GET", "/openapi.json"): Operation(
        "openapi", "This description of the data plane", {200: {JSON_TYPE: {"type": "object"}}}
    )
}
_PROTOCOLS: tuple[tuple[str, Operations, str], ...] = (
    ("kilter", own.OPERATIONS, own.ERROR),
    ("Open Inference Protocol V2", oip.OPERATIONS, oip.ERROR),
    ("MLflow", mlflow.OPERATIONS, mlflow.ERROR),
    ("Operation", {**metrics.OPERATIONS, **_OPEN_API}, own.ERROR),
)
_TYPES = {
    ColumnType.FLOAT: "number",
    ColumnType.INTEGER: "integer",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TEXT: "string",
}
_DATATYPES = {
    ColumnType.FLOAT: "FP64",
    ColumnType.INTEGER: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.TEXT: "BYTES",
}


def operations() -> set[tuple[str, str]]:
    """Return verb and pattern of everything that the document describes."""
    return {path for _, table, _ in _PROTOCOLS for path in table}


class Served(NamedTuple):
    """What a deployment takes, and its loaded versions."""

    signature: Signature
    versions: tuple[int, ...] = (1,)


def document(served: Mapping[str, Served] | None = None) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document.

    Parameters
    ----------
    served : mapping of str to Served, or None
        Deployments by name; None describes any node.
    """
    paths: dict[str, Any] = {}
    responses: dict[str, Any] = {}
    for tag, table, error in _PROTOCOLS:
        for (verb, pattern), operation in table.items():
            path = pattern
            for name in operation.names:
                path = path.replace("{}", f"{{{name}}}", 1)
            paths.setdefault(path, {})[verb.lower()] = _operation(tag, operation, error)
            responses |= {f"{error}{status}": _refusal(error, status) for status in operation.errors}
    components = {
        "schemas": {**own.SCHEMAS, **oip.SCHEMAS, **mlflow.SCHEMAS, **_served(served or {})},
        "parameters": {name: {"name": name, "in": "header", **about} for name, about in _HEADERS.items()},
        "responses": dict(sorted(responses.items())),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kilter data plane",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag, _, _ in _PROTOCOLS],
        "paths": dict(sorted(paths.items())),
        "components": components,
    }


class OpenApiEndpoints:
    """``GET /openapi.json``: the document with the deployments of the table in force.

    Parameters
    ----------
    predictor : Predictor
        Knows the deployments.
    """

    roots: tuple[str, ...] = ("openapi.json",)

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._made: tuple[Mapping[str, Served], bytes] | None = None

    def wording(self, error: KilterError, status: int) -> bytes:
        """Return kilter's error document."""
        return plain_wording(error, status)

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return the only path."""
        return {("GET", "/openapi.json"): self._document}

    def _document(self, _: Request) -> Reply:
        """Answer; the document is written anew when what is served has changed."""
        served: dict[str, Served] = {}
        for name in self._predictor.deployments():
            with contextlib.suppress(NotReady):  # withheld: not to be asked now
                signature = self._predictor.target(name).variant.signature
                served[name] = Served(signature, self._predictor.versions(name))
        if self._made is None or self._made[0] != served:
            self._made = (served, orjson.dumps(document(served)))
        return Reply(200, [JSON], self._made[1])


def _operation(tag: str, operation: Operation, error: str) -> dict[str, Any]:
    """Return one verb of one path."""
    headers = _HEADERS if operation.is_prediction else ()
    parameters: list[Any] = [
        {"name": name, "in": "path", "required": True, "schema": ref("Version" if name == "version" else "Deployment")}
        for name in operation.names
    ]
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in headers]
    told: dict[str, Any] = {"operationId": operation.name, "summary": operation.about, "tags": [tag]}
    if parameters:
        told["parameters"] = parameters
    if operation.takes:
        content = {media: {"schema": schema} for media, schema in operation.takes.items()}
        told["requestBody"] = {"required": not operation.is_body_optional, "content": content}
    answers: dict[str, Any] = {}
    for status, media in operation.answers.items():
        answer: dict[str, Any] = {"description": operation.about if status < 300 else _STATUSES[status]}
        if operation.is_prediction:
            answer["headers"] = {name: {"schema": schema, "required": True} for name, schema in _ANSWER_HEADERS.items()}
        answer["content"] = {kind: {"schema": schema} for kind, schema in media.items()}
        answers[str(status)] = answer
    for status in sorted(set(operation.errors) - set(operation.answers)):
        answers[str(status)] = {"$ref": f"#/components/responses/{error}{status}"}
    return {**told, "responses": answers}


def _refusal(error: str, status: int) -> dict[str, Any]:
    """Return the answer to a request that is refused."""
    headers: dict[str, Any] = {"kilter-error-code": {"schema": {"type": "string"}}}
    if status in {429, 503}:
        headers["retry-after"] = {"schema": {"type": "string"}}
    return {"description": _STATUSES[status], "headers": headers, "content": {JSON_TYPE: {"schema": ref(error)}}}


def _served(served: Mapping[str, Served]) -> dict[str, Any]:
    """Return the schemas that depend on what is served: names, rows, tensors."""
    if not served:
        cell = {"type": ["number", "string", "boolean", "null"]}
        column = {"anyOf": [cell, array({"anyOf": [cell, array(cell)]})]}
        return {
            "Deployment": {"type": "string", "pattern": "^[^/]+$"},
            "Version": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
            "Row": {"type": "object", "additionalProperties": cell},
            "RowValues": array(cell, 1),
            "ColumnNames": array({"type": "string"}, 1),
            "Columns": {"type": "object", "additionalProperties": column},
            "Tensors": array(ref("Tensor"), 1),
            "Truth": _TRUTH,
        }
    makers = {"Row": _row, "RowValues": _values, "ColumnNames": _names, "Columns": _columns, "Tensors": _tensors}
    makers["Truth"] = _truth
    forms: dict[str, Any] = {
        name: {"anyOf": [{"title": each, **make(one.signature)} for each, one in sorted(served.items())]}
        for name, make in makers.items()
    }
    forms["Tensors"]["anyOf"].append({"title": "other shapes", **array(ref("Tensor"), 1)})
    forms["ColumnNames"]["anyOf"].append({"title": "another order", **array({"type": "string"}, 1)})
    versions = sorted({str(version) for one in served.values() for version in one.versions})
    return {
        "Deployment": {"type": "string", "enum": sorted(served)},
        "Version": {"type": "string", "enum": versions},
        **forms,
    }


def _row(signature: Signature) -> dict[str, Any]:
    """Return the schema of a row by its columns."""
    return {
        "type": "object",
        "properties": {column.name: _cell(column) for column in signature.columns},
        "required": [column.name for column in signature.columns if not column.nullable],
        "additionalProperties": False,
    }


def _values(signature: Signature) -> dict[str, Any]:
    """Return the schema of a row as values in the model's order."""
    return _tuple([_cell(column) for column in signature.columns])


def _names(signature: Signature) -> dict[str, Any]:
    """Return the schema of the names of all columns."""
    return {"const": [column.name for column in signature.columns]}


def _columns(signature: Signature) -> dict[str, Any]:
    """Return the schema of columns of one row each."""
    row = _row(signature)
    return {**row, "properties": {name: _tuple([cell]) for name, cell in row["properties"].items()}}


def _truth(signature: Signature) -> dict[str, Any]:
    """Return the schema of a label."""
    return {"type": "number"} if signature.task is Task.REGRESSION else dict(_TRUTH)


def _tensors(signature: Signature) -> dict[str, Any]:
    """Return the schema of one row as tensors, one for each column in order."""
    required = ["name", "datatype", "shape", "data"]
    tensors: list[Schema] = [
        {
            "type": "object",
            "required": required,
            "properties": {
                "name": {"const": column.name},
                "datatype": {"const": _DATATYPES[column.type]},
                "shape": {"const": [1]},
                "data": _tuple([_cell(column)]),
            },
        }
        for column in signature.columns
    ]
    return _tuple(tensors)


def _cell(column: Column) -> dict[str, Any]:
    """Return the schema of one cell."""
    kind = _TYPES[column.type]
    told: dict[str, Any] = {"type": [kind, "null"] if column.nullable else kind}
    if column.type in {ColumnType.FLOAT, ColumnType.INTEGER}:
        told |= {"minimum": -_EXACT, "maximum": _EXACT}
    if column.levels:
        told["examples"] = list(column.levels[:5])
    return told


def _tuple(items: Sequence[Schema]) -> dict[str, Any]:
    """Return the schema of an array of exactly these items."""
    return {"type": "array", "prefixItems": list(items), "minItems": len(items), "maxItems": len(items)}
