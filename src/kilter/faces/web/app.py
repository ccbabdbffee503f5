"""The dashboard's routes: finds the pages, draws them, and answers the same data as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import jinja2
import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from kilter import plugins
from kilter.errors import InvalidRequest
from kilter.faces.web import _plot, charts, words
from kilter.faces.web.order import Orders
from kilter.faces.web.page import MODEL_TABS, PageSpec, Query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from kilter.app import App
    from kilter.errors import KilterError

__all__ = ["failure", "find_pages", "pages"]

_FOLDER = Path(__file__).parent
_STATIC = {"kilter.css": "text/css", "refresh.js": "text/javascript", "icon.svg": "image/svg+xml"}
_MENU = (
    ("home", "/", "Home"),
    ("now", "/now", "Now"),
    ("rollouts", "/rollouts", "Rollouts"),
    ("alerts", "/alerts", "Alerts"),
)
_MENU_MORE = (("predictions", "/predictions", "Predictions"), ("audit", "/audit", "Audit"))


class Page(Protocol):
    """A page's file."""

    PAGE: PageSpec

    def data(self, app: App, query: Query) -> object:
        """Return everything that the page shows."""
        ...


@dataclass(frozen=True, slots=True)
class _Drawer:
    """Draws templates."""

    environment: jinja2.Environment
    project: str

    def draw(self, template: str, status: int = 200, **context: object) -> Response:
        """Draw one template."""
        text = self.environment.get_template(template).render(project=self.project, **context)
        return HTMLResponse(text, status, headers={"cache-control": "no-store"})


def find_pages() -> tuple[Page, ...]:
    """Return all pages: files of this room, or of other packages, that hold ``PAGE``.

    Raises
    ------
    Conflict
        If two packages offer a page of the same name.
    """
    return cast("tuple[Page, ...]", plugins.members("faces.web", "PAGE"))


def pages(app: App) -> list[BaseRoute]:
    """Return the routes of all pages, as HTML and as JSON, with forms and static files.

    Raises
    ------
    Conflict
        If two packages offer a page of the same name.
    """
    drawer = _Drawer(environment(), app.settings.project.name)
    routes: list[BaseRoute] = []
    for page in find_pages():
        spec = page.PAGE
        address = "/index" if spec.url == "/" else spec.url
        routes.append(Route(f"{address}.json", _as_json(app, page), methods=["GET"], name=f"{spec.name}.json"))
        routes.append(Route(spec.url, _as_html(app, page, drawer), methods=["GET"], name=spec.name))
    # The most particular address first: `/models/m/drift.json` before `/models/{model}`.
    routes.sort(
        key=lambda route: (-cast("Route", route).path.count("/"), "{" in cast("Route", route).path.rpartition("/")[2])
    )
    routes.extend(Orders(app, drawer.draw).routes())
    routes.append(Route("/static/{name}", _static, methods=["GET"], name="static"))
    return routes


def failure(request: Request, error: KilterError, status: int) -> Response:
    """Draw an error as a page, or as JSON where JSON was asked for.

    Raises
    ------
    Nothing
    """
    if request.url.path.endswith(".json"):
        body = {"code": error.code, "detail": error.message, "where": error.where, "why": error.why, "hint": error.hint}
        return Response(msgspec.json.encode(body), status, media_type="application/problem+json")
    drawer = _Drawer(environment(), "kilter")
    spec = PageSpec(name="failure", url="", title="That did not work", about="", section="")
    return drawer.draw("failure.html", status, spec=spec, error=error, code=status, query=None, page=None)


def environment() -> jinja2.Environment:
    """Return the environment that templates are drawn in; everything is escaped unless it is markup already."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        charts=charts,
        shapes=words.SHAPES,
        menu=_MENU,
        menu_more=_MENU_MORE,
        tabs=MODEL_TABS,
    )
    made.filters.update(
        ago=words.ago,
        duration=words.duration,
        exp=lambda value: math.exp(min(value, 50.0)),
        interval=words.interval,
        metric=words.metric_name,
        moment=words.moment,
        number=_plot.number,
        of_100=words.of_100,
        slug=words.state_slug,
        word=words.word,
    )
    return made


def _query(app: App, page: Page, request: Request) -> Query:
    """Read path and query; a field that the page does not read is a typing error."""
    unknown = sorted(set(request.query_params) - set(page.PAGE.fields))
    if unknown:
        message = f"unknown field `{unknown[0]}` in the address"
        raise InvalidRequest(message, where="query", hint=f"go to `{page.PAGE.url}` and follow its links")
    path: Mapping[str, str] = request.path_params
    return Query(now=app.clock.now(), path=dict(path), values=dict(request.query_params))


def _as_html(app: App, page: Page, drawer: _Drawer):  # type: ignore[no-untyped-def]  # noqa: ANN202 - starlette's endpoint
    """Make the endpoint that draws a page."""

    async def endpoint(request: Request) -> Response:
        query = _query(app, page, request)
        record = await run_in_threadpool(page.data, app, query)
        template = f"{page.PAGE.name}.html"
        return await run_in_threadpool(drawer.draw, template, spec=page.PAGE, page=record, query=query)

    return endpoint


def _as_json(app: App, page: Page):  # type: ignore[no-untyped-def]  # noqa: ANN202 - starlette's endpoint
    """Make the endpoint that answers the page's data."""

    async def endpoint(request: Request) -> Response:
        record = await run_in_threadpool(page.data, app, _query(app, page, request))
        return Response(
            msgspec.json.encode(record), media_type="application/json", headers={"cache-control": "no-store"}
        )

    return endpoint


async def _static(request: Request) -> Response:
    """Answer one of our own files."""
    name = request.path_params["name"]
    kind = _STATIC.get(name)
    if kind is None:
        return Response("not found", 404, media_type="text/plain")
    return FileResponse(_FOLDER / "static" / name, media_type=kind, headers={"cache-control": "max-age=300"})
