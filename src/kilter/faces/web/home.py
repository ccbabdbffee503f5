"""Home: how every deployment is, worst first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kilter.contracts.model import Model
from kilter.control.status import StatusItem, StatusReader
from kilter.faces.web import book
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from kilter.app import App
    from kilter.faces.web.page import Query

__all__ = ["PAGE", "HomeItem", "HomePage", "data"]

PAGE = PageSpec(
    name="home",
    url="/",
    title="Your models",
    about="How each model is doing right now, the one that needs you most first.",
    section="home",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeItem:
    """One deployment: its state, and the one thing to press."""

    status: StatusItem
    button: str
    href: str
    metric: str
    course: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage:
    """All deployments; ``waiting`` are models that are registered and not deployed."""

    items: tuple[HomeItem, ...]
    waiting: tuple[str, ...]
    clock_at: datetime


def data(app: App, query: Query) -> HomePage:
    """Return all deployments, worst first.

    Raises
    ------
    StoreError
        If the store fails.
    """
    found = StatusReader(metadata=app.metadata, monitor=app.monitor, deployer=app.deployer).every()
    models = app.metadata.read(lambda tx: tx.list(Model, limit=500))
    deployed = {item.deployment for item in found}
    return HomePage(
        items=tuple(_item(app, item) for item in found),
        waiting=tuple(model.name for model in models if model.name not in deployed),
        clock_at=query.now,
    )


def _item(app: App, status: StatusItem) -> HomeItem:
    """Choose the button: to what is wrong, else to what is under way, else to the model."""
    button, href = "Open", f"/models/{status.deployment}"
    if status.alerts:
        button, href = "See what is wrong", f"/alerts/{status.alerts[0].id}"
    elif status.rollout is not None:
        button, href = "See the rollout", f"/rollouts/{status.rollout.id}"
    history = book.windows(app, status.deployment, most=60)
    metric, _ = book.main_metric(history)
    course = tuple(point.value for point in book.points(history, metric, subject="model", is_realised=True))
    return HomeItem(status=status, button=button, href=href, metric=metric, course=course)
