"""Predictions: look one up by its id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilter.control.lookup import FoundPrediction, Lookup
from kilter.errors import NotFound
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "PredictionsPage", "data"]

PAGE = PageSpec(
    name="predictions",
    url="/predictions",
    title="Predictions",
    about="What was asked, what the model answered, which version it was, and what turned out to be true.",
    section="predictions",
    fields=("id",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsPage:
    """What was looked for, and what was found; ``missing`` says why there is nothing."""

    id: str
    found: FoundPrediction | None
    missing: str


def data(app: App, query: Query) -> PredictionsPage:
    """Look a prediction up, if an id is given.

    Raises
    ------
    StoreError
        If the log cannot be read.
    """
    wanted = query.text("id")
    if not wanted:
        return PredictionsPage(id="", found=None, missing="")
    try:
        found = Lookup(metadata=app.metadata, table=app.table).find(wanted)
    except NotFound as error:
        return PredictionsPage(id=wanted, found=None, missing=error.hint or error.message)
    return PredictionsPage(id=wanted, found=found, missing="")
