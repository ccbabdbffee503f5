"""Claims about the OpenAPI document: it says what is there, no less and no more."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from kilter.contracts.route import Route
from kilter.contracts.signature import Column, ColumnType, Signature, Task
from kilter.faces.serving.assembly import assemble
from kilter.faces.serving.exchange import Reply, Request
from kilter.faces.serving.metrics.observation import Observation
from kilter.faces.serving.openapi import OpenApiEndpoints, Served, document, operations
from kilter.services.predictor import Predictor
from kilter.stores.clock import SystemClock, UuidSource
from kilter.stores.memory import MemoryBlobs
from kilter.testing.plane import MIXED, FormulaFormat, publish, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = Signature(task=Task.REGRESSION, target="y", columns=(Column(name="a", type=ColumnType.FLOAT),))


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def _operations(told: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(verb.upper(), path): one for path, verbs in told["paths"].items() for verb, one in verbs.items()}


def test_the_document_has_every_path_and_no_other() -> None:
    observation = Observation(meters=Mock(), reader=Mock(), predictor=Mock())
    router = assemble(predictor=Mock(), journal=Mock(), feedback=Mock(), is_failing=bool, observation=observation)
    assert set(router.paths) == operations()
    described = {(verb, re.sub(r"{\w+}", "{}", path)) for verb, path in _operations(document())}
    assert described == operations()


@pytest.mark.parametrize(
    "served", [None, {"churn": Served(MIXED)}, {"churn": Served(MIXED, (1, 3)), "price": Served(_NUMBERS)}]
)
def test_the_document_is_whole(served: dict[str, Served] | None) -> None:
    told = document(served)
    json.dumps(told)
    for reference in _references(told):
        part: Any = told
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
        assert part
    ids = [one["operationId"] for one in _operations(told).values()]
    assert len(set(ids)) == len(ids)


def test_every_path_declares_its_names_and_errors() -> None:
    for (verb, path), one in _operations(document()).items():
        names = [parameter["name"] for parameter in one.get("parameters", ()) if parameter.get("in") == "path"]
        assert names == re.findall(r"{(\w+)}", path)
        assert {"400", "413", "415", "429", "431", "500", "503"} <= set(one["responses"]), (verb, path)
        assert ("404" in one["responses"]) >= bool(names)
        assert ("requestBody" in one) == (verb == "POST")


def test_a_node_names_its_deployments_and_their_columns() -> None:
    schemas = document({"churn": Served(MIXED, (1, 3)), "price": Served(_NUMBERS)})["components"]["schemas"]
    assert schemas["Deployment"]["enum"] == ["churn", "price"]
    assert schemas["Version"]["enum"] == ["1", "3"]
    churn, price = schemas["Row"]["anyOf"]
    assert list(churn["properties"]) == [column.name for column in MIXED.columns]
    assert churn["required"] == ["age", "visits", "is member", "plan"]
    assert churn["properties"]["income"]["type"] == ["number", "null"]
    assert churn["properties"]["plan"]["examples"] == ["basic", "plus"]
    assert (price["title"], price["required"]) == ("price", ["a"])


def test_the_published_document_follows_the_table() -> None:
    clock, blobs = SystemClock(), MemoryBlobs()
    predictor = Predictor(
        journal=Mock(),
        blobs=blobs,
        materialise=lambda _, name: name,
        formats=lambda _: FormulaFormat(),
        clock=clock,
        ids=UuidSource(clock),
    )
    handler = OpenApiEndpoints(predictor).routes()["GET", "/openapi.json"]

    def told() -> Reply:
        reply = handler(Request("GET", "/openapi.json", {}, b""))
        assert isinstance(reply, Reply)
        assert reply.status == 200
        return reply

    assert json.loads(told().body) == document()
    predictor.prepare(table(3, Route(deployment="price", champion=publish(blobs, signature=_NUMBERS))))
    predictor.commit(3)
    assert json.loads(told().body) == json.loads(json.dumps(document({"price": Served(_NUMBERS)})))
    assert told().body is told().body  # written once


def test_errors_of_the_document_are_worded_as_kilters_own() -> None:
    router = assemble(predictor=Mock(), journal=Mock(), feedback=Mock(), is_failing=bool)
    reply = router.answer(Request("POST", "/openapi.json", {}, b""))
    assert not asyncio.iscoroutine(reply)
    assert isinstance(reply, Reply)
    assert (reply.status, set(json.loads(reply.body))) == (405, {"error", "code", "field", "hint"})
