"""What can be read: every record that kilter keeps, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec
from fastapi import APIRouter, Query, Response

from kilter.contracts.decision import Decision
from kilter.contracts.deployment import Deployment
from kilter.contracts.evidence import AuditRow, AuditState
from kilter.contracts.model import Model, ModelVersion
from kilter.contracts.monitor import Alert, Window
from kilter.contracts.rollout import Rollout, RolloutStep
from kilter.contracts.trigger import Trigger
from kilter.contracts.verdict import CheckRun
from kilter.control.lookup import FoundPrediction, Lookup
from kilter.errors import NotFound
from kilter.faces.api.schema import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilter.app import App
    from kilter.contracts.metadata import Record

__all__ = ["Reader", "json"]

Limit: TypeAlias = Annotated[int, Query(ge=1, le=500, description="records a page")]
After: TypeAlias = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]
Only: TypeAlias = Annotated[str | None, Query(max_length=63, description="only this deployment's")]
Open: TypeAlias = Annotated[bool | None, Query(description="true: only those not closed")]


def json(record: object) -> Response:
    """Answer with a record as JSON."""
    return Response(msgspec.json.encode(record), media_type="application/json")


class Reader:
    """The GET side of the resources.

    Parameters
    ----------
    app : App
        The services.

    Guarantees: changes nothing; pages are by key, so that one can go on while records are added.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        lists: tuple[tuple[str, Callable[..., Response], type, str], ...] = (
            ("/models", self.models, Model, "Models by name"),
            ("/models/{model}/versions", self.versions, ModelVersion, "Versions of a model, newest first"),
            ("/models/{model}/checks", self.checks, CheckRun, "Gate runs of a model, newest first"),
            ("/deployments", self.deployments, Deployment, "Deployments by name"),
            ("/deployments/{deployment}/windows", self.windows, Window, "Monitoring windows, newest first"),
            ("/alerts", self.alerts, Alert, "Alerts, newest first"),
            ("/rollouts", self.rollouts, Rollout, "Rollouts, newest first"),
            ("/rollouts/{rollout}/steps", self.steps, RolloutStep, "Steps of a rollout, oldest first"),
            ("/decisions", self.decisions, Decision, "Decisions, newest first"),
            ("/triggers", self.triggers, Trigger, "Retraining requests, newest first"),
            ("/evidence", self.evidence, AuditRow, "Audit rows, newest first"),
        )
        for path, method, kind, summary in lists:
            router.add_api_route(
                path,
                method,
                methods=["GET"],
                summary=summary,
                responses=answers(kind, is_page=True),
                response_model=None,
            )
        single: tuple[tuple[str, Callable[..., Response], type, str], ...] = (
            ("/models/{model}", self.model, Model, "One model"),
            ("/models/{model}/versions/{number}", self.version, ModelVersion, "One version"),
            ("/deployments/{deployment}", self.deployment, Deployment, "One deployment"),
            ("/alerts/{alert}", self.alert, Alert, "One alert"),
            ("/rollouts/{rollout}", self.rollout, Rollout, "One rollout"),
            ("/predictions/{prediction}", self.prediction, FoundPrediction, "One logged prediction"),
            ("/evidence/verify", self.verify, AuditState, "Walk the audit chain"),
        )
        for path, method, kind, summary in single:
            router.add_api_route(
                path, method, methods=["GET"], summary=summary, responses=answers(kind), response_model=None
            )
        return router

    def models(self, limit: Limit = 50, after: After = None) -> Response:
        """List models."""
        return self._page(Model, {}, limit, after, newest_first=False)

    def model(self, model: str) -> Response:
        """Show one model."""
        return json(self._model(model))

    def versions(self, model: str, limit: Limit = 50, after: After = None) -> Response:
        """List the versions of a model."""
        self._model(model)
        return self._page(ModelVersion, {"model_name": model}, limit, after)

    def version(self, model: str, number: int) -> Response:
        """Show one version."""
        where: dict[str, str | int | bool | None] = {"model_name": model, "number": number}
        found = self._app.metadata.read(lambda tx: tx.list(ModelVersion, where=where, limit=1))
        return json(_first(found, f"no version `{model}@{number}`", f"list them at `/v1/models/{model}/versions`"))

    def checks(self, model: str, limit: Limit = 50, after: After = None) -> Response:
        """List the gate runs of a model."""
        self._model(model)
        return self._page(CheckRun, {"model_name": model}, limit, after)

    def deployments(self, limit: Limit = 50, after: After = None) -> Response:
        """List deployments."""
        return self._page(Deployment, {}, limit, after, newest_first=False)

    def deployment(self, deployment: str) -> Response:
        """Show one deployment."""
        return json(self._one(Deployment, deployment, "deployment"))

    def windows(self, deployment: str, limit: Limit = 50, after: After = None) -> Response:
        """List the windows of a deployment."""
        self._one(Deployment, deployment, "deployment")
        return self._page(Window, {"deployment": deployment}, limit, after)

    def alerts(
        self,
        deployment: Only = None,
        open: Open = None,  # noqa: A002 - the name of the query's field
        limit: Limit = 50,
        after: After = None,
    ) -> Response:
        """List alerts."""
        where: dict[str, str | int | bool | None] = {"closed_at": None} if open else {}
        return self._page(Alert, _only(deployment) | where, limit, after)

    def alert(self, alert: str) -> Response:
        """Show one alert."""
        return json(self._one(Alert, alert, "alert"))

    def rollouts(self, deployment: Only = None, limit: Limit = 50, after: After = None) -> Response:
        """List rollouts."""
        return self._page(Rollout, _only(deployment), limit, after)

    def rollout(self, rollout: str) -> Response:
        """Show one rollout."""
        return json(self._one(Rollout, rollout, "rollout"))

    def steps(self, rollout: str, limit: Limit = 50, after: After = None) -> Response:
        """List the steps of a rollout."""
        self._one(Rollout, rollout, "rollout")
        return self._page(RolloutStep, {"rollout_id": rollout}, limit, after, newest_first=False)

    def decisions(self, deployment: Only = None, limit: Limit = 50, after: After = None) -> Response:
        """List decisions."""
        return self._page(Decision, _only(deployment), limit, after)

    def triggers(self, deployment: Only = None, limit: Limit = 50, after: After = None) -> Response:
        """List retraining requests."""
        return self._page(Trigger, _only(deployment), limit, after)

    def evidence(self, limit: Limit = 50, after: After = None) -> Response:
        """List audit rows."""
        return self._page(AuditRow, {}, limit, after)

    def verify(self) -> Response:
        """Walk the whole chain of audit rows."""
        return json(self._app.governance.verify())

    def prediction(self, prediction: str) -> Response:
        """Look one prediction up."""
        return json(Lookup(metadata=self._app.metadata, table=self._app.table).find(prediction))

    def _page(
        self,
        kind: type[Record],
        where: Mapping[str, str | int | bool | None],
        limit: int,
        after: str | None,
        *,
        newest_first: bool = True,
    ) -> Response:
        """Read one page, and one record more to know whether it is the last."""
        found = self._app.metadata.read(
            lambda tx: tx.list(kind, where=where, after=after, limit=limit + 1, newest_first=newest_first)
        )
        items = found[:limit]
        return json({"items": items, "next": items[-1].id if len(found) > limit else None})

    def _one(self, kind: type[Record], record_id: str, noun: str) -> Record:
        """Read one record."""
        found = self._app.metadata.read(lambda tx: tx.get(kind, record_id))
        return _first(() if found is None else (found,), f"no {noun} `{record_id}`", f"list them at `/v1/{noun}s`")

    def _model(self, name: str) -> Model:
        """Read one model by name."""
        found = self._app.metadata.read(lambda tx: tx.list(Model, where={"name": name}, limit=1))
        _first(found, f"no model `{name}`", "list them at `/v1/models`")
        return found[0]


def _only(deployment: str | None) -> dict[str, str | int | bool | None]:
    """Filter by deployment where one is named."""
    return {} if deployment is None else {"deployment": deployment}


def _first(found: tuple[Record, ...], message: str, hint: str) -> Record:
    """Return the only record, or say that there is none."""
    if not found:
        raise NotFound(message, hint=hint)
    return found[0]
