"""Claims about counting refusals."""

from __future__ import annotations

import pytest

from kilter.errors import InvalidRequest, ModelFailed, Overloaded
from kilter.faces.serving.metrics.refusal import Refusals, face_of
from kilter.testing.meters import MemoryMeters


def _refusals() -> tuple[MemoryMeters, Refusals]:
    meters = MemoryMeters()
    return meters, Refusals(meters, is_loaded={"churn"}.__contains__)


def test_an_error_counts_under_its_deployment_face_and_code() -> None:
    meters, refusals = _refusals()
    refusals.count(InvalidRequest("no"), "oip", "churn")
    refusals.count(InvalidRequest("no"), "oip", "churn")
    assert meters.value("kilter_requests_total", "churn", "", "", "oip", "input.invalid") == 2


@pytest.mark.parametrize("name", ["", "nobody", "a" * 100_000, "churn\0"])
def test_a_name_that_is_not_loaded_is_no_label(name: str) -> None:
    meters, refusals = _refusals()
    refusals.count(InvalidRequest("no"), "http", name)
    assert list(meters.by_slot) == [("kilter_requests_total", "", "", "", "http", "input.invalid")]


def test_what_the_predictor_has_counted_is_not_counted_again() -> None:
    meters, refusals = _refusals()
    error = ModelFailed("it failed")
    error.is_counted = True
    refusals.count(error, "http", "churn")
    assert meters.by_slot == {}
    assert not ModelFailed("another").is_counted


def test_overload_is_also_counted_as_shed() -> None:
    meters, refusals = _refusals()
    refusals.count(Overloaded("too much"), "grpc", "churn")
    assert meters.value("kilter_shed_total", "churn", "grpc") == 1
    assert meters.value("kilter_requests_total", "churn", "", "", "grpc", "busy.overloaded") == 1


@pytest.mark.parametrize(
    ("path", "face"),
    [
        ("/predict/churn", "http"),
        ("/feedback/churn", "feedback"),
        ("/v2/models/churn/infer", "oip"),
        ("/v2", "oip"),
        ("/invocations", "mlflow"),
        ("/", "http"),
        ("", "http"),
        ("v2/models", "http"),
        ("/nothing/at/all", "http"),
    ],
)
def test_the_path_tells_the_face(path: str, face: str) -> None:
    assert face_of(path) == face
