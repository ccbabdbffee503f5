"""What can be commanded: each POST is one call of one service, with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, ConfigDict, Field

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import Alert
from kilter.contracts.rollout import Rollout
from kilter.contracts.trigger import Trigger
from kilter.control.alert import Alerts
from kilter.errors import NotFound
from kilter.faces.api.read import json
from kilter.faces.api.schema import answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.app import App

__all__ = ["Commander"]

By: TypeAlias = Annotated[str, Field(min_length=1, max_length=100, description="who asks")]
Why: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000, description="kept as evidence")]


class _Order(BaseModel):
    """A command whose reason may be left out."""

    model_config = ConfigDict(extra="forbid")
    by: By = "rest"
    reason: Annotated[str, Field(max_length=1000, description="kept as evidence")] = ""


class _Reasoned(BaseModel):
    """A command that needs a reason."""

    model_config = ConfigDict(extra="forbid")
    by: By = "rest"
    reason: Why


class _Rollback(_Reasoned):
    """A rollback, to the last good version or another one."""

    to: Annotated[int | None, Field(ge=1, description="version number; default the last good one")] = None


class _Abort(_Reasoned):
    """The end of a rollout, with or without keeping its candidate out."""

    hold: Annotated[bool, Field(description="refuse this version from now on")] = False


# A body may be left out where nothing in it is required.
_Optional: TypeAlias = Annotated[_Order | None, Body()]


class Commander:
    """The POST side of the resources.

    Parameters
    ----------
    app : App
        The services.

    Guarantees: one service call a request; the service writes the evidence in the same transaction.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._alerts = Alerts(metadata=app.metadata, auditor=app.governance, ids=app.ids)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        commands: tuple[tuple[str, Callable[..., Response], type, str], ...] = (
            ("/deployments/{deployment}/rollback", self.rollback, Deployment, "Go back to a good version, now"),
            ("/deployments/{deployment}/promote", self.promote, Rollout, "Give the candidate all traffic, now"),
            ("/deployments/{deployment}/resume", self.resume, Rollout, "Go on with a held rollout"),
            ("/deployments/{deployment}/abort", self.abort, Rollout, "End the rollout; the champion stays"),
            ("/deployments/{deployment}/recalibrate", self.recalibrate, Decision, "Fit and try a calibration map"),
            ("/deployments/{deployment}/retrain", self.retrain, Trigger, "Train a fresh version, then check it"),
            ("/alerts/{alert}/acknowledge", self.acknowledge, Alert, "Note that a person has seen it"),
        )
        for path, method, kind, summary in commands:
            router.add_api_route(
                path, method, methods=["POST"], summary=summary, responses=answers(kind), response_model=None
            )
        return router

    def rollback(self, deployment: str, order: _Rollback) -> Response:
        """Roll back."""
        self._require(deployment)
        return json(self._app.deployer.rollback(deployment, to=order.to, by=order.by, reason=order.reason))

    def promote(self, deployment: str, order: _Reasoned) -> Response:
        """Promote the candidate."""
        self._require(deployment)
        return json(self._app.deployer.promote(deployment, by=order.by, reason=order.reason))

    def resume(self, deployment: str, order: _Optional = None) -> Response:
        """Resume a held rollout."""
        self._require(deployment)
        return json(self._app.deployer.resume(deployment, by=(order or _Order()).by))

    def abort(self, deployment: str, order: _Abort) -> Response:
        """Abort the rollout."""
        self._require(deployment)
        return json(self._app.deployer.abort(deployment, by=order.by, reason=order.reason, hold=order.hold))

    def recalibrate(self, deployment: str, order: _Optional = None) -> Response:
        """Recalibrate."""
        self._require(deployment)
        return json(self._app.retrainer.recalibrate(deployment, by=(order or _Order()).by))

    def retrain(self, deployment: str, order: _Reasoned) -> Response:
        """Retrain."""
        self._require(deployment)
        return json(self._app.retrainer.retrain(deployment, by=order.by, reason=order.reason))

    def acknowledge(self, alert: str, order: _Optional = None) -> Response:
        """Acknowledge an alert."""
        given = order or _Order()
        return json(self._alerts.acknowledge(alert, by=given.by, reason=given.reason, now=self._app.clock.now()))

    def _require(self, deployment: str) -> None:
        """Refuse a command to nobody."""
        if self._app.metadata.read(lambda tx: tx.get(Deployment, deployment)) is None:
            message = f"no deployment `{deployment}`"
            raise NotFound(message, hint="list them at `/v1/deployments`")
