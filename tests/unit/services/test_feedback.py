"""Labels are validated whole, and the same content is the same label."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from kilter.contracts.signature import Signature, Task
from kilter.errors import InvalidRequest
from kilter.services.feedback import FeedbackIntake
from kilter.testing.log import START_NS, request_id

if TYPE_CHECKING:
    from kilter.contracts.prediction import FeedbackRecord

BINARY = Signature(task=Task.BINARY, target="ill", columns=(), classes=("no", "yes"), positive="yes")
REGRESSION = Signature(task=Task.REGRESSION, target="cost", columns=())


class StoppedClock:
    def __init__(self, at_ns: int = START_NS) -> None:
        self.at_ns = at_ns

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at_ns / 1e9, UTC)

    def time_ns(self) -> int:
        return self.at_ns


def intake(at_ns: int = START_NS) -> FeedbackIntake:
    return FeedbackIntake(clock=StoppedClock(at_ns))


def one(body: object, signature: Signature = BINARY, at_ns: int = START_NS) -> FeedbackRecord:
    (record,) = intake(at_ns).records("ward", signature, body)
    return record


def item(**changes: object) -> dict[str, object]:
    return {"prediction_id": request_id(1), "label": "yes"} | changes


def test_one_object_and_a_list_are_both_taken() -> None:
    assert one(item()).prediction_id == request_id(1)
    many = intake().records("ward", BINARY, {"feedback": [item(), item(prediction_id=f"{request_id(1)}:3")]})
    assert [record.prediction_id for record in many] == [request_id(1), f"{request_id(1)}:3"]


def test_what_is_left_out_has_its_default() -> None:
    record = one(item())
    assert (record.observed_ns, record.ts_ns, record.name, record.source, record.weight) == (
        START_NS,
        START_NS,
        "ill",
        "",
        1.0,
    )


def test_a_replay_has_the_same_id_and_other_content_another() -> None:
    assert one(item()).feedback_id == one(item(), at_ns=START_NS + 9).feedback_id
    ids = {one(item(**change)).feedback_id for change in ({}, {"label": "no"}, {"source": "lab"}, {"weight": 2})}
    assert len(ids) == 4
    assert one(item(feedback_id="mine")).feedback_id == "mine"


@pytest.mark.parametrize(("label", "text"), [(1, "1"), (1.0, "1"), (True, "true"), (0.25, "0.25"), ("no", "no")])
def test_any_scalar_is_a_label(label: object, text: str) -> None:
    assert one(item(label=label)).label == text


@pytest.mark.parametrize(
    ("told", "seconds"), [("2026-01-01T00:00:01Z", 1), ("2026-01-01T01:00:02+01:00", 2), ("2026-01-01t00:00:03z", 3)]
)
def test_observed_at_is_rfc_3339(told: str, seconds: int) -> None:
    assert one(item(observed_at=told)).observed_ns == START_NS + seconds * 1_000_000_000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prediction_id": "7"}, "prediction_id"),
        ({"prediction_id": f"{request_id(1)}:01"}, "prediction_id"),
        ({"prediction_id": None}, "prediction_id"),
        ({"entity_id": "e"}, "prediction_id"),
        ({"entity_id": 5}, "entity_id"),
        ({"label": None}, "label"),
        ({"label": [1]}, "label"),
        ({"label": ""}, "label"),
        ({"label": float("inf")}, "label"),
        ({"observed_at": "yesterday"}, "observed_at"),
        ({"observed_at": "2026-13-01T00:00:00Z"}, "observed_at"),
        ({"observed_at": "1950-01-01T00:00:00Z"}, "observed_at"),
        ({"observed_at": 5}, "observed_at"),
        ({"name": "other"}, "name"),
        ({"weight": 0}, "weight"),
        ({"weight": True}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"source": "a\nb"}, "source"),
        ({"lable": "yes"}, "lable"),
    ],
)
def test_a_malformed_item_names_its_field_and_nothing_is_taken(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        intake().records("ward", BINARY, {"feedback": [item(), item(**change)]})
    assert caught.value.details["field"] == f"feedback[1].{field}"


@pytest.mark.parametrize("body", [None, [], "x", {"feedback": []}, {"feedback": {}}, {"feedback": [1]}, {}])
def test_a_body_that_is_no_feedback_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest):
        intake().records("ward", BINARY, body)


def test_no_field_stands_beside_the_list() -> None:
    with pytest.raises(InvalidRequest, match="beside"):
        intake().records("ward", BINARY, {"feedback": [item()], "label": 1})


@pytest.mark.parametrize("label", ["12.5", 3, 0.5])
def test_a_regression_takes_numbers(label: object) -> None:
    assert float(one(item(label=label), REGRESSION).label) == float(str(label))


@pytest.mark.parametrize("label", ["many", True, "nan", "inf"])
def test_a_regression_takes_nothing_else(label: object) -> None:
    with pytest.raises(InvalidRequest, match="a number"):
        one(item(label=label), REGRESSION)
