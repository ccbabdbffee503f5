"""All protocols of the data plane behind one router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.faces.serving.oip.endpoints import OipEndpoints
from kilter.faces.serving.own.endpoints import OwnEndpoints
from kilter.faces.serving.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilter.contracts.journal import Journal
    from kilter.faces.serving.own.endpoints import FeedbackReader
    from kilter.services.predictor import Predictor

__all__ = ["assemble"]


def assemble(
    *, predictor: Predictor, journal: Journal, feedback: FeedbackReader, is_failing: Callable[[], bool]
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
    """
    own = OwnEndpoints(predictor=predictor, journal=journal, feedback=feedback)
    oip = OipEndpoints(predictor=predictor, is_failing=is_failing)
    return Router([own, oip])
