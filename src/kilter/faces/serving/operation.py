"""What a path takes and answers, as the protocols state it beside their handlers for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "ALWAYS",
    "JSON_TYPE",
    "NAMED",
    "PREDICTED",
    "Operation",
    "Operations",
    "Schema",
    "array",
    "as_json",
    "record",
    "ref",
]

Schema: TypeAlias = Mapping[str, Any]
"""A JSON Schema, or another part of an OpenAPI document."""

JSON_TYPE = "application/json"

ALWAYS = (400, 408, 413, 414, 415, 429, 431, 500, 503)
"""Errors that any path can answer: they come from the wire, or from the state of the server."""

NAMED = (*ALWAYS, 404)
"""Errors of a path that names a deployment."""

PREDICTED = (*NAMED, 504)
"""Errors of a path that predicts."""


class Operation(NamedTuple):
    """One verb on one path.

    ``names`` are those of the segments written ``{}``, in order. ``answers`` gives the content of each
    status that is no error of the protocol's usual form: schemas by media type. ``takes`` gives the
    body's schemas by media type.
    """

    name: str
    about: str
    answers: Mapping[int, Mapping[str, Schema]]
    names: tuple[str, ...] = ()
    takes: Mapping[str, Schema] = {}
    errors: tuple[int, ...] = ALWAYS
    is_prediction: bool = False
    is_body_optional: bool = False


Operations: TypeAlias = Mapping[tuple[str, str], Operation]
"""By verb and pattern, as in a protocol's table of routes."""


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def as_json(name: str) -> Mapping[str, Schema]:
    """Return content that is JSON of one of the document's schemas."""
    return {JSON_TYPE: ref(name)}


def array(items: Schema, least: int = 0) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **({"minItems": least} if least else {})}


def record(required: Schema, optional: Schema | None = None, *, is_open: bool = False) -> Schema:
    """Return the schema of an object by its properties; ``is_open`` if further ones are ignored."""
    form: dict[str, Any] = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        form["required"] = list(required)
    if not is_open:
        form["additionalProperties"] = False
    return form
