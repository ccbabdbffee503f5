"""Pages as text: whole, escaped, the same data as JSON, forms that cannot be forged."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from kilter.contracts.deployment import Deployment
from kilter.contracts.monitor import Alert
from kilter.errors import Forbidden, InvalidRequest, KilterError, NotFound
from kilter.faces.web import app as web
from kilter.faces.web import profiles, words
from kilter.faces.web.page import Query
from kilter.testing.panel import PREDICTION, Panel, panel

if TYPE_CHECKING:
    from starlette.responses import Response

TEMPLATES = Path(web.__file__).parent / "templates"
MODEL = "/models/bike-hourly"
ADDRESSES = (
    "/",
    "/now",
    MODEL,
    f"{MODEL}/performance",
    f"{MODEL}/performance?metric=brier_score_loss",
    f"{MODEL}/calibration",
    f"{MODEL}/drift",
    f"{MODEL}/drift?column=weather",
    f"{MODEL}/versions",
    "/models/churn",
    "/models/churn/performance",
    "/models/churn/calibration",
    "/models/churn/drift",
    "/models/churn/versions",
    "/models/energy",
    "/models/energy/performance",
    "/rollouts",
    "/rollouts/rollout_001",
    "/rollouts/rollout_003",
    "/alerts",
    "/alerts?open=true",
    "/alerts?deployment=churn",
    "/alerts/alert_001",
    "/alerts/alert_003",
    "/audit",
    "/audit?subject=late-payment",
    "/predictions",
    f"/predictions?id={PREDICTION}",
    "/predictions?id=nope",
)


def failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, KilterError)
    return web.failure(request, error, 404 if isinstance(error, NotFound) else 422)


class Site:
    """The pages alone, without the guard around them."""

    def __init__(self, app: Panel) -> None:
        self.app = app
        self.inner = Starlette(routes=web.pages(app), exception_handlers={KilterError: failed})  # type: ignore[arg-type]
        self.cookies = httpx.Cookies()

    def __call__(self, method: str, path: str, **options: object) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.inner)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost", cookies=self.cookies) as one:
                answer = await one.request(method, path, **options)  # type: ignore[arg-type]
                self.cookies.update(one.cookies)
                return answer

        return asyncio.run(send())

    def get(self, path: str) -> str:
        answer = self("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest.fixture(scope="module")
def site() -> Site:
    return Site(panel())


@pytest.fixture
def fresh() -> Site:
    return Site(panel())


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_page_is_whole(site: Site, path: str) -> None:
    text = site.get(path)
    assert text.startswith("<!doctype html>")
    assert text.count("<h1>") == 1
    assert '<p class="about">' in text
    assert not re.search(r"\sstyle=|<script(?! src=\"/static/)|\son\w+=|(src|href|action)=\"(https?:)?//", text)
    assert "None" not in re.sub(r"<[^>]*>", "", text).replace("None:", "").replace("None.", "").replace("None y", "")


@pytest.mark.parametrize("path", ADDRESSES)
def test_the_same_data_comes_as_json(site: Site, path: str) -> None:
    base, _, query = path.partition("?")
    answer = site("GET", f"{'/index' if base == '/' else base}.json?{query}".rstrip("?"))
    assert answer.status_code == 200
    assert isinstance(json.loads(answer.text), dict)


def test_every_page_has_its_template_and_every_template_its_page() -> None:
    names = {page.PAGE.name for page in web.find_pages()}
    shared = {"base", "parts", "model", "order", "failure"}
    assert {path.stem for path in TEMPLATES.glob("*.html")} == names | shared


@pytest.mark.parametrize("path", [MODEL.replace("bike", "boat"), "/rollouts/nope", "/alerts/nope", f"{MODEL}x/drift"])
def test_what_is_not_there_is_a_page_that_says_so(site: Site, path: str) -> None:
    answer = site("GET", path)
    assert answer.status_code == 404
    assert "What to do" in answer.text
    assert site("GET", f"{path}.json").json()["code"] == "state.not_found"


def test_an_unknown_field_in_the_address_is_named(site: Site) -> None:
    answer = site("GET", "/alerts?colour=red")
    assert answer.status_code == 422
    assert "colour" in answer.text


def test_texts_of_others_are_escaped(fresh: Site) -> None:
    alert = fresh.app.metadata.read(lambda tx: tx.get(Alert, "alert_002"))
    assert alert is not None
    evil = replace(alert, headline="<script>alert(1)</script>", version=alert.version + 1)
    fresh.app.metadata.write(lambda tx: tx.replace(evil))
    for path in ("/", "/now", "/alerts", "/alerts/alert_002", MODEL):
        text = fresh.get(path)
        assert "<script>alert" not in text
    assert "&lt;script&gt;" in fresh.get("/alerts")
    found = fresh.get("/predictions?id=%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in found


def test_home_puts_the_worst_first_and_offers_one_button_each(site: Site) -> None:
    text = site.get("/")
    order = [text.index(f'href="/models/{name}"') for name in ("late-payment", "bike-hourly", "churn", "energy")]
    assert order == sorted(order)
    assert text.count('class="button"') == 3
    assert "438 more before kilter can say" in text


def test_an_empty_project_says_the_next_command() -> None:
    bare = Site(panel(is_filled=False))
    assert "kilter add" in bare.get("/")
    assert "Nothing needs you" in bare.get("/now")
    for path in ("/alerts", "/rollouts", "/audit"):
        assert 'class="empty"' in bare.get(path)


def test_too_few_data_is_a_state_of_its_own(site: Site) -> None:
    for path in ("performance", "calibration", "drift"):
        assert "Not enough data" in site.get(f"/models/churn/{path}")


def test_a_broken_chain_is_said(fresh: Site) -> None:
    class Broken:
        def verify(self) -> object:
            from kilter.contracts.evidence import AuditState  # noqa: PLC0415

            return AuditState(rows=8, first_bad="5")

    fresh.app.governance = Broken()
    assert "Row 5 does not fit" in fresh.get("/audit")


def test_the_gate_limit_and_the_alarm_are_in_the_chart(fresh: Site) -> None:
    record = fresh.app.metadata.read(lambda tx: tx.get(Deployment, "bike-hourly"))
    assert record is not None
    assert "gate: at least 0.7" in fresh.get(f"{MODEL}/performance")
    rule = replace(record.spec.gates[0], min=None, max=0.9)
    spec = replace(record.spec, gates=(rule,))
    fresh.app.metadata.write(lambda tx: tx.replace(replace(record, spec=spec, version=record.version + 1)))
    assert "gate: at most 0.9" in fresh.get(f"{MODEL}/performance")
    assert 'class="alarm"' in fresh.get(f"{MODEL}/calibration")


def test_lists_go_on_with_older_ones(site: Site) -> None:
    page = web.find_pages()[0]
    assert page.PAGE.name == "alert"
    rows = json.loads(site("GET", "/audit.json").text)
    assert rows["next"] is None


def test_damaged_profiles_leave_the_rest_of_the_page(fresh: Site) -> None:
    class Empty:
        def get(self, digest: str) -> bytes:
            message = f"no blob `{digest}`"
            raise NotFound(message)

    fresh.app.blobs = Empty()
    assert "Columns by size of the shift" in fresh.get(f"{MODEL}/drift")
    assert "Not enough data" in fresh.get(f"{MODEL}/calibration")


def form(site: Site, path: str) -> dict[str, str]:
    found = re.search(r'name="token" value="(\w+)"', site.get(path))
    assert found is not None
    return {"token": found[1]}


@pytest.mark.parametrize("order", ["rollback", "promote", "abort", "resume", "recalibrate", "retrain"])
def test_a_form_is_carried_out_and_leads_back(fresh: Site, order: str) -> None:
    fields = form(fresh, f"{MODEL}/{order}") | {"reason": "because"}
    answer = fresh("POST", f"{MODEL}/{order}", data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, MODEL)
    asked = fresh.app.deployer.asked[-1]
    assert asked[:2] == (order, "bike-hourly")
    assert "dashboard" in asked


def test_an_alert_can_be_acknowledged(fresh: Site) -> None:
    path = "/alerts/alert_002/acknowledge"
    answer = fresh("POST", path, data=form(fresh, path))
    assert answer.headers["location"] == "/alerts/alert_002"
    assert "dashboard looks after it" in fresh.get("/alerts/alert_002")


def test_a_form_without_a_reason_does_nothing(fresh: Site) -> None:
    answer = fresh("POST", f"{MODEL}/rollback", data=form(fresh, f"{MODEL}/rollback") | {"reason": "  "})
    assert answer.status_code == 422
    assert fresh.app.deployer.asked == []


def test_a_token_is_worth_nothing_elsewhere(fresh: Site) -> None:
    fields = form(fresh, f"{MODEL}/promote") | {"reason": "x"}
    assert fresh("POST", f"{MODEL}/rollback", data=fields).status_code == 422
    fresh.cookies.clear()
    assert fresh("POST", f"{MODEL}/promote", data=fields).status_code == 422
    assert fresh.app.deployer.asked == []


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"a=" + b"b" * 20_000, b"&".join(b"a%d=1" % i for i in range(50))]
)
def test_a_malformed_form_is_refused(fresh: Site, content: bytes) -> None:
    fresh.get(f"{MODEL}/rollback")
    assert fresh("POST", f"{MODEL}/rollback", content=content).status_code == 422


@pytest.mark.parametrize("path", ["/models/energy/rollback", "/alerts/nope/acknowledge"])
def test_a_form_about_nothing_is_not_found(fresh: Site, path: str) -> None:
    assert fresh("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("name", "status"), [("kilter.css", 200), ("refresh.js", 200), ("icon.svg", 200), ("app.py", 404)]
)
def test_only_our_own_files_are_served(site: Site, name: str, status: int) -> None:
    assert site("GET", f"/static/{name}").status_code == status


def test_static_files_name_no_other_host() -> None:
    for path in (TEMPLATES.parent / "static").iterdir():
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|@import|url\(", text), path


def test_a_query_reads_whole_numbers_only() -> None:
    query = Query(now=panel().clock.now(), values={"n": "12", "x": "1.5"})
    assert query.whole("n", 5, low=1, high=20) == 12
    assert query.whole("none", 5, low=1, high=20) == 5
    for name, high in (("n", 3), ("x", 20)):
        with pytest.raises(InvalidRequest):
            query.whole(name, 5, low=1, high=high)


def test_times_and_lengths_are_written_for_people() -> None:
    now = panel().clock.now()
    assert words.ago(None, now) == "never"
    assert words.ago(now, now) == "just now"
    assert [words.duration(s) for s in (5, 600, 7200, 9 * 86_400)] == ["5 s", "10 minutes", "2 hours", "9 days"]
    assert words.moment(None) == "–"
    assert words.interval(None) == "–"


def test_errors_render_in_both_forms() -> None:
    for path, kind in (("/x", "text/html"), ("/x.json", "application/problem+json")):
        request = Request({"type": "http", "path": path, "headers": [], "method": "GET", "query_string": b""})
        message = "no"
        answer = web.failure(request, Forbidden(message), 403)
        assert answer.status_code == 403
        assert answer.headers["content-type"].startswith(kind)


def test_few_bars_stand_for_many_levels() -> None:
    import numpy as np  # noqa: PLC0415

    names = [f"level {i}" for i in range(40)]
    counts = np.arange(40, dtype=np.int64)
    bars = profiles._bars(names, counts, counts[::-1].copy())  # noqa: SLF001
    assert len(bars) == 12
    assert bars[-1].label == "others"
    assert sum(bar.now for bar in bars) == pytest.approx(1.0)
