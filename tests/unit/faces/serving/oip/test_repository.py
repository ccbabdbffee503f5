"""Claims about listing, loading and unloading models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter.stores.overrides import OverrideFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.faces.serving.oip.conftest import Plane

_ASKED = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}


def state(plane: Plane, name: str) -> set[str]:
    index = plane("POST", "/v2/repository/index", {}).json
    return {each["state"] for each in index if each["name"] == name}


@pytest.mark.parametrize("body", [b"", b" ", {}, {"ready": False}, {"ready": None}, {"ready": True}, {"more": 1}])
def test_the_index_lists_every_loaded_version(plane: Plane, body: object) -> None:
    told = plane("POST", "/v2/repository/index", body).json
    assert [(each["name"], each["version"]) for each in told][:3] == [("churn", "1"), ("churn", "2"), ("counts", "1")]
    assert {(each["state"], each["reason"]) for each in told} == {("READY", "")}


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b"\xff", {"ready": 1}, {"ready": "yes"}, b"[" * 50_000])
def test_a_malformed_index_request_is_a_400(plane: Plane, body: object) -> None:
    answer = plane("POST", "/v2/repository/index", body)
    assert (answer.status, list(answer.json)) == (400, ["error"])


def test_without_consent_loading_what_is_ready_is_all_that_a_client_may_do(make_plane: Callable[..., Plane]) -> None:
    plane = make_plane()
    assert plane("POST", "/v2/repository/models/pair/load").status == 200
    assert plane("POST", "/v2/repository/models/pair/load", {"parameters": {}}).status == 200
    for path, body in (
        ("pair/unload", {}),
        ("nope/load", {}),
        ("nope/unload", {}),
        ("pair/load", {"parameters": {"config": "{}"}}),
        ("pair/load", {"parameters": {"file:1/model.onnx": "AA=="}}),
    ):
        answer = plane("POST", f"/v2/repository/models/{path}", body)
        assert (answer.status, answer.headers["kilter-error-code"]) == (403, "auth.forbidden")
    assert "kilter apply" in plane("POST", "/v2/repository/models/pair/unload").json["error"]
    assert plane.infer("pair", _ASKED).status == 200


@pytest.mark.parametrize("body", [b"[]", b"{", {"parameters": 7}, {"parameters": []}])
def test_a_malformed_order_is_a_400(plane: Plane, body: object) -> None:
    for verb in ("load", "unload"):
        assert plane("POST", f"/v2/repository/models/pair/{verb}", body).status == 400


def test_an_unloaded_model_is_not_ready_until_it_is_loaded(make_plane: Callable[..., Plane], tmp_path: Path) -> None:
    plane = make_plane(overrides=OverrideFile(tmp_path))
    assert (
        plane("POST", "/v2/repository/models/pair/unload", {"parameters": {"unload_dependents": False}}).status == 200
    )
    answer = plane.infer("pair", _ASKED)
    assert (answer.status, answer.headers["retry-after"], list(answer.json)) == (503, "1", ["error"])
    assert plane("GET", "/v2/models/pair/ready").json == {"name": "pair", "ready": False}
    assert plane("GET", "/v2/models/pair/versions/1/ready").status == 503
    assert plane("GET", "/v2/models/pair").status == 503
    assert plane("GET", "/v2/health/ready").status == 503
    assert plane("GET", "/v2/models/pair/stats").status == 200
    assert plane("GET", "/v2/models/churn/ready").status == 200
    assert state(plane, "pair") == {"UNAVAILABLE"}
    ready = plane("POST", "/v2/repository/index", {"ready": True}).json
    assert "pair" not in {each["name"] for each in ready}
    assert plane("POST", "/v2/repository/models/pair/load").status == 200
    assert plane.infer("pair", _ASKED).status == 200
    assert plane("GET", "/v2/health/ready").status == 200
    assert state(plane, "pair") == {"READY"}


def test_a_model_that_is_not_there_can_be_neither_loaded_nor_unloaded(
    make_plane: Callable[..., Plane], tmp_path: Path
) -> None:
    plane = make_plane(overrides=OverrideFile(tmp_path))
    for verb in ("load", "unload"):
        assert plane("POST", f"/v2/repository/models/nope/{verb}").status == 404
    empty = make_plane(overrides=OverrideFile(tmp_path), is_empty=True)
    for verb in ("load", "unload"):
        assert empty("POST", f"/v2/repository/models/pair/{verb}").status == 503


def test_other_processes_follow_and_the_next_table_ends_it(make_plane: Callable[..., Plane], tmp_path: Path) -> None:
    one, other = make_plane(overrides=OverrideFile(tmp_path)), make_plane(overrides=OverrideFile(tmp_path))
    assert one("POST", "/v2/repository/models/pair/unload").status == 200
    assert other.infer("pair", _ASKED).status == 200
    other.repository.follow()
    assert other.infer("pair", _ASKED).status == 503
    other.repository.follow()
    assert other("POST", "/v2/repository/models/pair/load").status == 200
    one.repository.follow()
    assert one.infer("pair", _ASKED).status == 200
    assert one("POST", "/v2/repository/models/pair/unload").status == 200
    one.swap(8)
    one.repository.follow()
    assert one.infer("pair", _ASKED).status == 200
    late = make_plane(overrides=OverrideFile(tmp_path))  # started while generation 7 is in force here
    late.repository.follow()
    assert late.infer("pair", _ASKED).status == 503


def test_nobody_follows_without_consent(make_plane: Callable[..., Plane]) -> None:
    plane = make_plane()
    plane.repository.follow()
    assert plane.infer("pair", _ASKED).status == 200


def test_every_order_is_an_event_in_the_log(make_plane: Callable[..., Plane], tmp_path: Path) -> None:
    plane = make_plane(overrides=OverrideFile(tmp_path))
    for path in ("pair/unload", "pair/load", "pair/load", "nope/unload"):
        plane("POST", f"/v2/repository/models/{path}")
    found = [(event.name, event.deployment, event.detail.rpartition(": ")[2]) for event in plane.events]
    assert found[-4:] == [
        ("unload", "pair", "done"),
        ("load", "pair", "done"),
        ("load", "pair", "done"),
        ("unload", "nope", "state.not_found"),
    ]
    refusing = make_plane()
    refusing("POST", "/v2/repository/models/pair/unload")
    assert refusing.events[-1].detail.endswith("auth.forbidden")


def test_a_broken_model_is_not_ready_unless_its_previous_version_stands_in(
    make_plane: Callable[..., Plane], tmp_path: Path
) -> None:
    plane = make_plane(overrides=OverrideFile(tmp_path))
    plane.predictor.fallen = (("churn", 1),)
    assert plane("GET", "/v2/models/churn/ready").status == 200
    assert plane("GET", "/v2/models/churn/versions/1/ready").status == 503
    assert plane("GET", "/v2/models/churn/versions/2/ready").status == 200
    assert plane("GET", "/v2/health/ready").status == 200
    index = plane("POST", "/v2/repository/index", {"ready": True}).json
    assert [each["version"] for each in index if each["name"] == "churn"] == ["2"]
    plane.predictor.fallen = (("churn", 1), ("churn", 2), ("pair", 1))
    for name in ("churn", "pair"):
        assert plane("GET", f"/v2/models/{name}/ready").json == {"name": name, "ready": False}
        answer = plane("POST", f"/v2/repository/models/{name}/load")
        assert (answer.status, "keeps falling" in answer.json["error"]) == (503, True)
    assert plane("GET", "/v2/health/ready").status == 503
    assert make_plane()("POST", "/v2/repository/models/pair/load").status == 200
