"""All protocols of the data plane behind one router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.faces.serving.mlflow.endpoints import MlflowEndpoints
from kilter.faces.serving.oip.endpoints import OipEndpoints
from kilter.faces.serving.oip.repository import Repository
from kilter.faces.serving.openapi import OpenApiEndpoints
from kilter.faces.serving.own.endpoints import OwnEndpoints
from kilter.faces.serving.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.journal import Journal
    from kilter.faces.serving.metrics.observation import Observation
    from kilter.faces.serving.own.endpoints import FeedbackReader
    from kilter.services.predictor import Predictor

__all__ = ["assemble"]


def assemble(
    *,
    predictor: Predictor,
    journal: Journal,
    feedback: FeedbackReader,
    is_failing: Callable[[], bool],
    default_deployment: str = "",
    repository: Repository | None = None,
    observation: Observation | None = None,
    is_metrics_apart: bool = False,
) -> Router:
    """Return the router of a serving process.

    Parameters
    ----------
    predictor : Predictor
        Answers predictions.
    journal : Journal
        Takes feedback.
    feedback : FeedbackReader
        Reads feedback bodies.
    is_failing : callable
        Says whether the log refuses records now.
    default_deployment : str
        Whom requests that name nobody ask; empty means the only deployment there is.
    repository : Repository or None
        Lists models, takes orders to load and unload; None is one that clients cannot change.
    observation : Observation or None
        Metrics of all processes, and where refusals are counted; None counts nothing.
    is_metrics_apart : bool
        Whether metrics have a port of their own instead of a path here.
    """
    own = OwnEndpoints(
        predictor=predictor,
        journal=journal,
        feedback=feedback,
        on_taken=(lambda _: None) if observation is None else observation.took_feedback,
    )
    oip = OipEndpoints(
        predictor=predictor,
        repository=repository or Repository(predictor=predictor, journal=journal),
        is_failing=is_failing,
        totals=dict if observation is None else observation.totals,
    )
    mlflow = MlflowEndpoints(predictor=predictor, is_failing=is_failing, default_deployment=default_deployment)
    openapi = OpenApiEndpoints(predictor)
    if observation is None:
        return Router([own, oip, mlflow, openapi])
    shown = [] if is_metrics_apart else [observation.endpoints]
    return Router([own, oip, mlflow, openapi, *shown], refusals=observation.refusals, spans=observation.spans)
