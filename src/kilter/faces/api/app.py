"""Puts the control plane's web application together: REST, pages, errors, guard."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from kilter.control.status import StatusItem, StatusReader
from kilter.errors import InvalidRequest, KilterError, NotFound
from kilter.faces.api.command import Commander
from kilter.faces.api.errors import UNEXPECTED, headers_of, problem, status_of
from kilter.faces.api.guard import Guard
from kilter.faces.api.read import Reader, json
from kilter.faces.api.schema import FaultItem, Health, StatusList, answers, install

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from kilter.app import App
    from kilter.control.loop import Loop
    from kilter.errors import Detail

__all__ = ["Pages", "api_routes", "create"]

_log = logging.getLogger(__name__)
_API = "/v1"
_UNREADABLE = 400  # a body that is no text: the client's mistake as any other


class Pages(Protocol):
    """The room that draws pages; it is found by name, since faces do not import one another."""

    def pages(self, app: App) -> list[BaseRoute]:
        """Return the pages' routes."""
        ...

    def failure(self, request: Request, error: KilterError, status: int) -> Response:
        """Draw an error as a page."""
        ...


class _State:
    """The operations about kilter itself."""

    def __init__(self, app: App, loop: Loop | None) -> None:
        self._app = app
        self._loop = loop
        self._status = StatusReader(metadata=app.metadata, monitor=app.monitor, deployer=app.deployer)

    def health(self) -> Response:
        """Tell how the control plane is; 200 while it lives at all."""
        pulse = self._loop.pulse() if self._loop is not None else None
        faults = pulse.faults if pulse is not None else ()
        return json(
            Health(
                ok=not faults,
                clock_at=self._app.clock.now(),
                is_leader=pulse is not None and pulse.is_leader,
                turns=pulse.turns if pulse is not None else 0,
                last_turn_at=pulse.last_turn_at if pulse is not None else None,
                faults=tuple(
                    FaultItem(deployment=fault.deployment, step=fault.step, times=fault.times, error=fault.error)
                    for fault in faults
                ),
            )
        )

    def status(self) -> Response:
        """Tell how every deployment is, worst first."""
        project = self._app.settings.project.name
        return json(StatusList(items=self._status.every(), clock_at=self._app.clock.now(), project=project))

    def one(self, deployment: str) -> Response:
        """Tell how one deployment is."""
        return json(self._status.one(deployment))


def _only_known_fields(request: Request) -> None:
    """Refuse a query with a field that nobody reads: it is a typing error, and silence would hide it."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            message = f"unknown field `{name}` in the query"
            fault: dict[str, Detail] = {"field": name, "message": "unknown field"}
            hint = "use " + ", ".join(f"`{field}`" for field in sorted(known)) if known else "leave the query out"
            raise InvalidRequest(message, where="query", hint=hint, details={"errors": [fault]})


def api_routes(app: App, loop: Loop | None = None) -> APIRouter:
    """Return the REST routes under ``/v1``."""
    router = APIRouter(prefix=_API, dependencies=[Depends(_only_known_fields)])
    state = _State(app, loop)
    for path, method, kind, summary in (
        ("/health", state.health, Health, "How the control plane is"),
        ("/status", state.status, StatusList, "How every deployment is, worst first"),
        ("/deployments/{deployment}/status", state.one, StatusItem, "How one deployment is"),
    ):
        router.add_api_route(
            path, method, methods=["GET"], summary=summary, responses=answers(kind), response_model=None
        )
    # `evidence/verify` and the like stand before their `{id}` neighbours inside each router.
    router.include_router(Reader(app).router())
    router.include_router(Commander(app).router())
    return router


def create(app: App, *, loop: Loop | None = None, pages: Pages | None = None) -> Guard:
    """Return the control plane as one ASGI application.

    Parameters
    ----------
    app : App
        The services.
    loop : Loop or None
        The control loop beside it, for ``/v1/health``.
    pages : module or None
        The room that draws the dashboard; None serves REST alone.

    Returns
    -------
    Guard
        The guarded application.

    Raises
    ------
    Nothing
    """
    web = FastAPI(
        title="kilter control plane",
        version="1",
        openapi_url=f"{_API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    web.include_router(api_routes(app, loop))
    if pages is not None:
        web.router.routes.extend(pages.pages(app))
    install(web)

    def answer(request: Request, error: KilterError, status: int | None = None) -> Response:
        code = status_of(error) if status is None else status
        if pages is not None and not request.url.path.startswith(f"{_API}/"):
            return pages.failure(request, error, code)
        body = problem(error, request.url.path)
        return Response(body, code, headers_of(error), media_type="application/problem+json")

    def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, KilterError)  # noqa: S101 - what it was registered for
        if status_of(error) >= UNEXPECTED:
            _log.error("request.failed", extra={"path": request.url.path, "code": error.code}, exc_info=error)
        return answer(request, error)

    def malformed(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - what it was registered for
        return answer(request, _invalid(error))

    def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - what it was registered for
        response = answer(
            request, _unroutable(request, error), None if error.status_code == _UNREADABLE else error.status_code
        )
        response.headers.update(error.headers or {})
        return response

    def unexpected(request: Request, error: Exception) -> Response:
        _log.critical("request.crashed", extra={"path": request.url.path}, exc_info=error)
        message = "kilter itself failed on this request"
        return answer(request, KilterError(message, why=type(error).__name__, hint="look into the log of `kilter up`"))

    web.add_exception_handler(KilterError, known)
    web.add_exception_handler(RequestValidationError, malformed)
    web.add_exception_handler(HTTPException, routing)
    web.add_exception_handler(Exception, unexpected)
    return Guard(web, allowed_hosts=app.settings.server.allowed_hosts)


def _invalid(error: RequestValidationError) -> InvalidRequest:
    """Turn field faults into kilter's own."""
    faults: list[Detail] = []
    message = "the request is malformed"
    for fault in reversed(error.errors()):
        name = ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0])
        faults.insert(0, {"field": name, "message": str(fault["msg"])})
        message = f"`{name}`: {fault['msg']}"
    return InvalidRequest(message, hint="see `/v1/openapi.json`", details={"errors": faults})


def _unroutable(request: Request, error: HTTPException) -> KilterError:
    """Turn what the router says into kilter's own."""
    path = request.url.path
    if error.status_code == 404:
        message = f"there is nothing at `{path}`"
        return NotFound(message, hint="see `/v1/openapi.json`" if path.startswith(_API) else "go to the home page `/`")
    message = f"{request.method} `{path}`: {error.detail}"
    return InvalidRequest(message, hint="see `/v1/openapi.json`")
