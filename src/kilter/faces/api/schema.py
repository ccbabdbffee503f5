"""The shapes of answers, for the OpenAPI document: msgspec reads them off the records themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment
from kilter.contracts.evidence import AuditRow, AuditState
from kilter.contracts.model import Model, ModelVersion
from kilter.contracts.monitor import Alert, Window
from kilter.contracts.rollout import Rollout, RolloutStep
from kilter.contracts.trigger import Trigger
from kilter.contracts.verdict import CheckRun
from kilter.control.lookup import FoundPrediction
from kilter.control.status import StatusItem

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["FaultItem", "Health", "Problem", "StatusList", "answers", "install"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultItem:
    """A step of the control loop that fails."""

    deployment: str
    step: str
    times: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the control plane itself is. ``last_turn_at`` is of the machine's clock."""

    ok: bool
    clock_at: datetime
    is_leader: bool
    turns: int
    last_turn_at: datetime | None
    faults: tuple[FaultItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusList:
    """Every deployment, worst first, at a time of the project's clock."""

    items: tuple[StatusItem, ...]
    clock_at: datetime
    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong (RFC 9457), and how to fix it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    where: str | None
    why: str | None
    hint: str | None
    errors: tuple[Mapping[str, str], ...]
    details: Mapping[str, Any]


_RECORDS = (
    Alert,
    AuditRow,
    AuditState,
    CheckRun,
    Decision,
    Deployment,
    FoundPrediction,
    Health,
    Model,
    ModelVersion,
    Problem,
    Rollout,
    RolloutStep,
    StatusItem,
    StatusList,
    Trigger,
    Window,
)
_REF = "#/components/schemas/{name}"


def answers(kind: type, *, is_page: bool = False) -> dict[int | str, dict[str, object]]:
    """Describe the answers of one operation: a record or a page of them, or a problem."""
    shape: dict[str, object] = {"$ref": _REF.format(name=kind.__name__)}
    if is_page:
        cursor = {"anyOf": [{"type": "string"}, {"type": "null"}]}
        shape = {
            "type": "object",
            "required": ["items", "next"],
            "properties": {"items": {"type": "array", "items": shape}, "next": cursor},
        }
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}}
    return {
        200: {"description": "Done", "content": {"application/json": {"schema": shape}}},
        "4XX": {"description": "The request cannot be carried out", "content": problem},
        "5XX": {"description": "kilter cannot carry it out", "content": problem},
    }


def install(app: FastAPI) -> None:
    """Add the records' schemas to the application's OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        _, components = msgspec.json.schema_components(_RECORDS, ref_template=_REF)
        known = document.setdefault("components", {}).setdefault("schemas", {})
        known.update(components)
        for path in document["paths"].values():
            for operation in path.values():
                # FastAPI's own shape of validation faults is never sent.
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            known.pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
