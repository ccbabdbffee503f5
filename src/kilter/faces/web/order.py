"""Forms that change something: a page that says what will happen and asks why, then one call of one service."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Route

from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import Alert
from kilter.control.alert import Alerts
from kilter.errors import Forbidden, InvalidRequest, NotFound
from kilter.faces.web.page import PageSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from kilter.app import App

__all__ = ["ORDERS", "Order", "Orders"]

_COOKIE = "kilter"
_BY = "dashboard"
_MOST_BYTES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one form is called, what it does, and how it is undone."""

    name: str
    title: str
    button: str
    effect: str
    undo: str
    needs_reason: bool = True


ORDERS = (
    Order(
        name="rollback",
        title="Roll back",
        button="Roll back now",
        effect="All traffic goes back to the last good version at once. An open rollout ends, and the version that is "
        "left is held: it will not be deployed again unless a person overrides that.",
        undo="Apply the version again with kilter apply --override.",
    ),
    Order(
        name="promote",
        title="Promote the candidate",
        button="Promote",
        effect="The candidate answers all traffic at once, without waiting for further evidence.",
        undo="Roll back, or end the rollout.",
    ),
    Order(
        name="abort",
        title="End the rollout",
        button="End the rollout",
        effect="The candidate gets no more traffic. The live version goes on as before.",
        undo="Start the rollout again with kilter apply.",
    ),
    Order(
        name="resume",
        title="Resume the rollout",
        button="Resume",
        effect="The held rollout goes on where it stopped.",
        undo="End the rollout.",
        needs_reason=False,
    ),
    Order(
        name="recalibrate",
        title="Recalibrate",
        button="Recalibrate",
        effect="kilter fits a new calibration map on recent labels, checks it on other labels, and starts a rollout "
        "if it is better. The order in which the model ranks rows does not change.",
        undo="End the rollout, or roll back.",
        needs_reason=False,
    ),
    Order(
        name="retrain",
        title="Train a fresh version and check it",
        button="Retrain",
        effect="The project's training function runs on recent data. Its result has to pass the gates and beat the "
        "live version before it gets any traffic.",
        undo="Nothing to undo before the rollout; then end it, or roll back.",
    ),
)


class Orders:
    """The forms' routes.

    Parameters
    ----------
    app : App
        The services.
    draw : callable
        Draws a template.

    Guarantees: a form is carried out only with the token that this process gave to the same browser
    (cookie and hidden field belong together); forms work without JavaScript.
    """

    def __init__(self, app: App, draw: Callable[..., Response]) -> None:
        self._app = app
        self._draw = draw
        self._secret = secrets.token_bytes(32)
        self._alerts = Alerts(metadata=app.metadata, auditor=app.governance, ids=app.ids)

    def routes(self) -> list[BaseRoute]:
        """Return a form and its receiver for every order, and the one that acknowledges alerts."""
        routes: list[BaseRoute] = []
        for order in ORDERS:
            url = f"/models/{{model}}/{order.name}"
            routes.append(Route(url, self._form(order), methods=["GET"], name=f"{order.name}.form"))
            routes.append(Route(url, self._carry_out(order), methods=["POST"], name=order.name))
        acknowledge = Order(
            name="acknowledge",
            title="I have seen this alert",
            button="I have seen it",
            effect="The alert stays open until its cause is gone, and shows that somebody looks after it.",
            undo="None; the alert closes when its cause is gone.",
            needs_reason=False,
        )
        routes.append(Route("/alerts/{alert}/acknowledge", self._form(acknowledge), methods=["GET"], name="ack.form"))
        routes.append(Route("/alerts/{alert}/acknowledge", self._carry_out(acknowledge), methods=["POST"], name="ack"))
        return routes

    def _form(self, order: Order):  # type: ignore[no-untyped-def]  # noqa: ANN202 - starlette's endpoint
        """Make the endpoint that shows a form."""

        async def endpoint(request: Request) -> Response:
            subject, back = await run_in_threadpool(self._subject, request)
            cookie = request.cookies.get(_COOKIE, "") or secrets.token_urlsafe(24)
            spec = PageSpec(name="order", url="", title=order.title, about="Nothing has happened yet.", section="")
            token = self._token(cookie, request.url.path)
            context = {"spec": spec, "order": order, "subject": subject, "back": back, "token": token}
            response = await run_in_threadpool(lambda: self._draw("order.html", page=None, query=None, **context))
            response.set_cookie(_COOKIE, cookie, httponly=True, samesite="strict", path="/")
            return response

        return endpoint

    def _carry_out(self, order: Order):  # type: ignore[no-untyped-def]  # noqa: ANN202 - starlette's endpoint
        """Make the endpoint that carries a form out."""

        async def endpoint(request: Request) -> Response:
            fields = await _fields(request)
            cookie = request.cookies.get(_COOKIE, "")
            if not cookie or not hmac.compare_digest(self._token(cookie, request.url.path), fields.get("token", "")):
                message = "this form was not given out by this dashboard, or is too old"
                raise Forbidden(message, hint="go back, reload the page, and try again")
            reason = fields.get("reason", "").strip()[:1000]
            if order.needs_reason and not reason:
                message = "a reason is needed; it is kept as evidence"
                raise InvalidRequest(message, where="field Reason", hint="go back and say in a few words why")
            back = await run_in_threadpool(self._call, order, request, reason)
            return RedirectResponse(back, 303)

        return endpoint

    def _call(self, order: Order, request: Request, reason: str) -> str:
        """Call the service; return where to go next."""
        subject, back = self._subject(request)
        app = self._app
        calls: dict[str, Callable[[], object]] = {
            "rollback": lambda: app.deployer.rollback(subject, by=_BY, reason=reason),
            "promote": lambda: app.deployer.promote(subject, by=_BY, reason=reason),
            "abort": lambda: app.deployer.abort(subject, by=_BY, reason=reason),
            "resume": lambda: app.deployer.resume(subject, by=_BY),
            "recalibrate": lambda: app.retrainer.recalibrate(subject, by=_BY),
            "retrain": lambda: app.retrainer.retrain(subject, by=_BY, reason=reason),
            "acknowledge": lambda: self._alerts.acknowledge(subject, by=_BY, reason=reason, now=app.clock.now()),
        }
        calls[order.name]()
        return back

    def _subject(self, request: Request) -> tuple[str, str]:
        """Return what the form is about, which must exist, and the page to go back to."""
        alert = request.path_params.get("alert")
        if alert is not None:
            if self._app.metadata.read(lambda tx: tx.get(Alert, alert)) is None:
                message = f"there is no alert `{alert}`"
                raise NotFound(message, hint="go to `/alerts`")
            return str(alert), f"/alerts/{alert}"
        model = str(request.path_params["model"])
        if self._app.metadata.read(lambda tx: tx.get(Deployment, model)) is None:
            message = f"`{model}` is not deployed"
            raise NotFound(message, hint="deploy it with `kilter apply`")
        return model, f"/models/{model}"

    def _token(self, cookie: str, path: str) -> str:
        """Bind a form to a browser and an address."""
        return hmac.new(self._secret, f"{cookie}\n{path}".encode(), hashlib.sha256).hexdigest()


async def _fields(request: Request) -> dict[str, str]:
    """Read a posted form; a field given twice counts once."""
    body = await request.body()
    if len(body) > _MOST_BYTES:
        message = f"the form has {len(body)} bytes, at most {_MOST_BYTES} are read"
        raise InvalidRequest(message, hint="shorten the reason")
    try:
        parsed = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        message = "the form cannot be read"
        raise InvalidRequest(message, hint="use the form on the page") from error
    return {name: values[0] for name, values in parsed.items()}
