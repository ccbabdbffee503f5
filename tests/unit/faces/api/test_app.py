"""The control plane's REST: records, pages of records, commands, and errors that say what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kilter.control.fault import Fault
from kilter.control.loop import Pulse
from kilter.faces.api.app import create
from kilter.testing.panel import PREDICTION

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from kilter.testing.panel import Panel

    Call = Callable[..., httpx.Response]

NOW = datetime(2026, 1, 1, tzinfo=UTC)

READ = {
    "/v1/health": "clock_at",
    "/v1/status": "items",
    "/v1/models": "items",
    "/v1/models/bike-hourly": "owner",
    "/v1/models/bike-hourly/versions": "items",
    "/v1/models/bike-hourly/versions/2": "digest",
    "/v1/models/bike-hourly/checks": "items",
    "/v1/deployments": "items",
    "/v1/deployments/bike-hourly": "champion",
    "/v1/deployments/bike-hourly/status": "sentence",
    "/v1/deployments/bike-hourly/windows": "items",
    "/v1/alerts?deployment=bike-hourly": "items",
    "/v1/alerts/alert_001": "headline",
    "/v1/rollouts": "items",
    "/v1/rollouts/rollout_003": "candidate",
    "/v1/rollouts/rollout_003/steps": "items",
    "/v1/decisions": "items",
    "/v1/triggers": "items",
    "/v1/evidence": "items",
    "/v1/evidence/verify": "rows",
    f"/v1/predictions/{PREDICTION}": "found",
}


@pytest.mark.parametrize("path", READ)
def test_every_resource_can_be_read(call: Call, path: str) -> None:
    answer = call("GET", path)
    assert answer.status_code == 200, answer.text
    assert READ[path] in answer.json()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/nope",
        "/v1/models/nope/versions",
        "/v1/models/bike-hourly/versions/99",
        "/v1/deployments/nope",
        "/v1/deployments/nope/status",
        "/v1/deployments/nope/windows",
        "/v1/alerts/nope",
        "/v1/rollouts/nope",
        "/v1/rollouts/nope/steps",
        "/v1/predictions/nope",
        "/v1/nope",
    ],
)
def test_what_is_not_there_is_said_with_a_hint(call: Call, path: str) -> None:
    answer = call("GET", path)
    problem = answer.json()
    assert answer.status_code == problem["status"] == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem["type"]) == ("state.not_found", "/docs/errors/state.not_found")
    assert problem["hint"]


def test_pages_go_on_by_key_until_there_is_no_more(call: Call) -> None:
    seen: list[str] = []
    address = "/v1/deployments/bike-hourly/windows?limit=10"
    while True:
        page = call("GET", address if not seen else f"{address}&after={seen[-1]}").json()
        seen += [window["id"] for window in page["items"]]
        if page["next"] is None:
            break
        assert page["next"] == seen[-1]
    assert len(seen) == len(set(seen)) == 25
    assert seen == sorted(seen, reverse=True)


def test_only_open_alerts_on_demand(call: Call) -> None:
    everything = {alert["id"] for alert in call("GET", "/v1/alerts").json()["items"]}
    still_open = {alert["id"] for alert in call("GET", "/v1/alerts?open=true").json()["items"]}
    assert everything - still_open == {"alert_001"}


def test_status_says_what_a_replay_waits_for(call: Call) -> None:
    status = call("GET", "/v1/status").json()
    assert status["project"] == "city bikes"
    assert [item["deployment"] for item in status["items"]] == ["late-payment", "bike-hourly", "churn"]
    item = status["items"][1]
    assert item["monitored_until"] == "2012-12-31T12:00:00Z"
    assert (item["champion"], item["is_busy"], item["rollout"]["candidate"]) == (3, False, 5)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/alerts?limit=0", "limit"),
        ("/v1/alerts?limit=501", "limit"),
        ("/v1/alerts?open=perhaps", "open"),
        ("/v1/alerts?colour=red", "colour"),
        ("/v1/health?x=1", "x"),
        ("/v1/models/bike-hourly/versions/two", "number"),
    ],
)
def test_a_wrong_query_is_named(call: Call, path: str, field: str) -> None:
    answer = call("GET", path)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


def test_commands_reach_their_service_with_their_reason(app: Panel, call: Call) -> None:
    base = "/v1/deployments/bike-hourly"
    for path, body in (
        ("rollback", {"reason": "bad", "to": 2, "by": "ann"}),
        ("promote", {"reason": "good"}),
        ("abort", {"reason": "stop", "hold": True}),
        ("resume", None),
        ("recalibrate", {}),
        ("retrain", {"reason": "old"}),
    ):
        answer = call("POST", f"{base}/{path}", **({} if body is None else {"json": body}))
        assert answer.status_code == 200, answer.text
    assert app.deployer.asked == [
        ("rollback", "bike-hourly", "2", "ann", "bad"),
        ("promote", "bike-hourly", "rest", "good"),
        ("abort", "bike-hourly", "rest", "stop", "True"),
        ("resume", "bike-hourly", "rest"),
        ("recalibrate", "bike-hourly", "rest"),
        ("retrain", "bike-hourly", "rest", "old"),
    ]


def test_an_alert_is_acknowledged(call: Call) -> None:
    answer = call("POST", "/v1/alerts/alert_002/acknowledge", json={"by": "ann"})
    assert answer.json()["acknowledged_by"] == "ann"
    assert call("POST", "/v1/alerts/alert_001/acknowledge").status_code == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "x", "to": 0}, "to"),
        ({"reason": "x", "too": 1}, "too"),
    ],
)
def test_a_wrong_command_is_refused_and_does_nothing(
    app: Panel, call: Call, body: dict[str, object], field: str
) -> None:
    answer = call("POST", "/v1/deployments/bike-hourly/rollback", json=body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert app.deployer.asked == []


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff"])
def test_a_body_that_is_no_object_is_a_clients_mistake(call: Call, content: bytes) -> None:
    answer = call(
        "POST",
        "/v1/deployments/bike-hourly/rollback",
        content=content,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "input.invalid"


def test_a_command_to_nobody_is_not_found(call: Call) -> None:
    assert call("POST", "/v1/deployments/nope/rollback", json={"reason": "x"}).status_code == 404


def test_a_services_refusal_keeps_its_class(call: Call) -> None:
    answer = call("POST", "/v1/deployments/churn/promote", json={"reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "state.final")
    assert answer.headers["kilter-error-code"] == "state.final"


def test_another_method_is_refused(call: Call) -> None:
    answer = call("DELETE", "/v1/evidence")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_fault_of_kilter_is_a_500_without_its_secrets(app: Panel, call: Call) -> None:
    app.metadata.close()
    assert call("GET", "/v1/models").status_code == 503
    app.deployer.metadata = None
    answer = call("GET", "/v1/openapi.json")
    assert answer.status_code == 200
    del app.governance
    broken = call("GET", "/v1/evidence/verify")
    assert (broken.status_code, broken.json()["why"]) == (500, "AttributeError")
    assert "Traceback" not in broken.text
    assert "content-security-policy" in broken.headers


@dataclass
class StillLoop:
    """A loop that stands still."""

    def pulse(self) -> Pulse:
        fault = Fault(deployment="a", step="monitor", times=3, error="disk full", retry_at=NOW)
        return Pulse(is_leader=True, turns=7, last_turn_at=NOW, faults=(fault,))


def test_health_tells_of_the_loop(app: Panel, call: Call) -> None:
    assert call("GET", "/v1/health").json()["is_leader"] is False
    call.app = create(app, loop=StillLoop())  # type: ignore[attr-defined, arg-type]
    health = call("GET", "/v1/health").json()
    assert (health["ok"], health["is_leader"], health["turns"]) == (False, True, 7)
    assert health["faults"] == [{"deployment": "a", "step": "monitor", "times": 3, "error": "disk full"}]
    assert call("GET", "/").status_code == 404  # REST alone, without pages


def test_openapi_describes_every_operation_with_existing_schemas(call: Call) -> None:
    text = call("GET", "/v1/openapi.json").text
    document = call("GET", "/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in text
    known = document["components"]["schemas"]
    used = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= set(known)
    assert {"Alert", "StatusItem", "Problem"} <= set(known)
    assert all(path.startswith("/v1/") for path in document["paths"])
