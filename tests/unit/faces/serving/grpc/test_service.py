"""Claims about the calls of the protocol, made without a wire."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilter.contracts.prediction import PredictionRecord, RecordKind
from kilter.contracts.version import VERSION
from kilter.errors import Conflict, JournalUnavailable, KilterError, Overloaded
from kilter.faces.serving.grpc.messages import HEALTH, INFERENCE
from kilter.faces.serving.grpc.service import GrpcService
from kilter.faces.serving.grpc.status import Status
from kilter.faces.serving.oip.repository import Repository

if TYPE_CHECKING:
    from kilter.faces.serving.grpc.exchange import Outcome

Plane: TypeAlias = Any  # the class of the fixture
Message: TypeAlias = Any

_CHURN: dict[str, tuple[str, str, list[Any]]] = {
    "age": ("FP64", "fp64_contents", [40.0]),
    "visits": ("INT64", "int64_contents", [3]),
    "is member": ("BOOL", "bool_contents", [True]),
    "plan": ("BYTES", "bytes_contents", [b"basic"]),
    "income": ("FP32", "fp32_contents", [1.5]),
    "region": ("BYTES", "bytes_contents", [b"north"]),
}


def _churn(plane: Plane, **fields: object) -> Message:
    inputs = [
        {"name": name, "datatype": datatype, "shape": [1], "contents": {field: values}}
        for name, (datatype, field, values) in _CHURN.items()
    ]
    return plane.message("ModelInferRequest", **{"model_name": "churn", "inputs": inputs} | fields)


def _price(plane: Plane, *values: float, name: str = "price", **fields: object) -> Message:
    given_ = values or (1.0, 2.0, 3.0)
    inputs = [{"name": "input", "datatype": "FP64", "shape": [len(given_) // 3, 3]}]
    raw = [np.array(given_).tobytes()]
    return plane.message("ModelInferRequest", model_name=name, inputs=inputs, raw_input_contents=raw, **fields)


def _code(outcome: Outcome) -> str:
    return dict(outcome.trailers)["kilter-error-code"]


def test_the_server_says_that_it_lives_and_is_ready(plane: Plane) -> None:
    assert plane.told("ServerLive").live
    assert plane.told("ServerReady").ready
    about = plane.told("ServerMetadata")
    assert (about.name, about.version) == ("kilter", VERSION)
    assert "binary_tensor_data" in about.extensions


def test_a_log_that_refuses_makes_the_server_unready(plane: Plane) -> None:
    plane.log.refuses = JournalUnavailable("the disk is full")
    outcome = plane.call("ModelInfer", _price(plane))
    assert (outcome.status, _code(outcome)) == (Status.UNAVAILABLE, "backend.journal")
    assert dict(outcome.trailers)["retry-after"] == "1"
    assert not plane.told("ServerReady").ready
    assert plane.told("Check", service=HEALTH).status == 2


def test_a_plane_without_a_table_lives_but_is_not_ready(plane: Plane) -> None:
    plane.predictor.__init__(  # a new one, before its first table
        journal=plane.journal,
        blobs=None,
        materialise=None,
        formats=None,
        clock=plane.predictor._clock,  # noqa: SLF001 - the same clock again
        ids=plane.predictor._ids,  # noqa: SLF001
    )
    assert plane.told("ServerLive").live
    assert not plane.told("ServerReady").ready
    outcome = plane.call("ModelInfer", _price(plane))
    assert (outcome.status, _code(outcome)) == (Status.UNAVAILABLE, "state.not_ready")


@pytest.mark.parametrize("service", ["", INFERENCE, HEALTH])
def test_the_health_check_of_grpc_itself(plane: Plane, service: str) -> None:
    asked = plane.messages.of("grpc.health.v1.HealthCheckRequest")(service=service)
    assert plane.told("Check", asked, service=HEALTH).status == 1


def test_the_health_of_an_unknown_service_is_not_found(plane: Plane) -> None:
    asked = plane.messages.of("grpc.health.v1.HealthCheckRequest")(service="nobody")
    assert plane.call("Check", asked, service=HEALTH).status == Status.NOT_FOUND


def test_models_say_what_they_take(plane: Plane) -> None:
    about = plane.told("ModelMetadata", plane.message("ModelMetadataRequest", name="price"))
    assert (about.name, list(about.versions), about.platform) == ("price", ["1"], "kilter_formula")
    assert [(one.name, one.datatype, list(one.shape)) for one in about.inputs] == [("input", "FP64", [-1, 3])]
    assert [(one.name, one.datatype, list(one.shape)) for one in about.outputs] == [("value", "FP64", [-1])]
    about = plane.told("ModelMetadata", plane.message("ModelMetadataRequest", name="churn", version="2"))
    assert [one.name for one in about.inputs] == list(_CHURN)
    assert [one.datatype for one in about.outputs] == ["BYTES", "FP64", "FP64"]


def test_models_are_configured_as_triton_would(plane: Plane) -> None:
    config = plane.told("ModelConfig", plane.message("ModelConfigRequest", name="churn")).config
    assert (config.name, config.max_batch_size, config.backend) == ("churn", 100, "formula")
    kinds = {one.name: one.data_type for one in config.input}
    assert kinds == {"age": 12, "visits": 9, "is member": 1, "plan": 13, "income": 12, "region": 13}
    shapes = {one.name: (list(one.dims), one.HasField("reshape")) for one in config.output}
    assert shapes == {"label": ([1], True), "score": ([1], True), "probabilities": ([2], False)}


def test_models_are_ready_by_name_and_by_version(plane: Plane) -> None:
    assert plane.told("ModelReady", plane.message("ModelReadyRequest", name="churn")).ready
    assert plane.told("ModelReady", plane.message("ModelReadyRequest", name="churn", version="2")).ready


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"])
@pytest.mark.parametrize(("name", "version"), [("nobody", ""), ("churn", "3"), ("churn", "latest"), ("churn", "²")])
def test_what_is_not_there_is_not_found(plane: Plane, method: str, name: str, version: str) -> None:
    outcome = plane.call(method, plane.message(f"{method}Request", name=name, version=version))
    assert (outcome.status, _code(outcome)) == (Status.NOT_FOUND, "state.not_found")


def test_the_repository_lists_every_loaded_version(plane: Plane) -> None:
    index = plane.told("RepositoryIndex", plane.message("RepositoryIndexRequest", ready=True))
    listed = [(one.name, one.version, one.state) for one in index.models]
    assert ("churn", "1", "READY") in listed
    assert ("churn", "2", "READY") in listed
    assert len(listed) == 6


@pytest.mark.parametrize("field", ["model_name", "repository_name"])
def test_loading_what_is_ready_is_fine_for_triton_and_for_kserve(plane: Plane, field: str) -> None:
    # KServe's message has the model's name in field 1, which is Triton's name of the repository.
    told = plane.told("RepositoryModelLoad", plane.message("RepositoryModelLoadRequest", **{field: "churn"}))
    assert (told.model_name, told.is_loaded) == ("churn", True)


def test_unloading_is_for_the_control_plane(plane: Plane) -> None:
    outcome = plane.call("RepositoryModelUnload", plane.message("RepositoryModelUnloadRequest", model_name="churn"))
    assert (outcome.status, _code(outcome)) == (Status.PERMISSION_DENIED, "auth.forbidden")
    assert "kilter apply" in outcome.sentence
    given_ = plane.message(
        "RepositoryModelLoadRequest", model_name="churn", parameters={"config": {"string_param": "{}"}}
    )
    assert plane.call("RepositoryModelLoad", given_).status == Status.PERMISSION_DENIED


def test_unloading_works_where_clients_may(plane: Plane) -> None:
    class _Overrides:
        def unload(self, name: str, *, generation: int) -> frozenset[str]:
            return frozenset({name}) if generation else frozenset()

    service = GrpcService(
        predictor=plane.predictor,
        repository=Repository(predictor=plane.predictor, journal=plane.journal, overrides=_Overrides()),  # type: ignore[arg-type]
        is_failing=lambda: False,
    )
    plane.service = service
    told = plane.told("RepositoryModelUnload", plane.message("RepositoryModelUnloadRequest", model_name="price"))
    assert (told.model_name, told.is_unloaded) == ("price", True)
    assert not plane.told("ModelReady", plane.message("ModelReadyRequest", name="price")).ready
    assert not plane.told("ServerReady").ready
    assert plane.call("ModelInfer", _price(plane)).status == Status.UNAVAILABLE


def test_statistics_count_what_was_answered(plane: Plane) -> None:
    every = plane.told("ModelStatistics").model_stats
    assert len(every) == 6
    one = plane.told("ModelStatistics", plane.message("ModelStatisticsRequest", name="churn", version="2")).model_stats
    assert [(each.name, each.version, each.inference_count) for each in one] == [("churn", "2", 0)]


def test_raw_in_is_raw_out(plane: Plane) -> None:
    outcome = plane.call("ModelInfer", _price(plane, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, id="mine"))
    answer = plane.message("ModelInferResponse").FromString(outcome.body)
    assert (answer.model_name, answer.model_version, answer.id) == ("price", "1", "mine")
    assert [(one.name, one.datatype, list(one.shape)) for one in answer.outputs] == [("value", "FP64", [2])]
    assert np.frombuffer(answer.raw_output_contents[0], "<f8").tolist() == [2.0, 5.0]
    assert not answer.outputs[0].HasField("contents")


def test_typed_in_is_typed_out(plane: Plane) -> None:
    answer = plane.told("ModelInfer", _churn(plane))
    label, score, probabilities = answer.outputs
    assert list(label.contents.bytes_contents) == [b"yes"]
    assert list(score.contents.fp64_contents) == [probabilities.contents.fp64_contents[1]]
    assert list(probabilities.shape) == [1, 2]
    assert not answer.raw_output_contents
    assert answer.id == ""


def test_every_answer_says_who_gave_it(plane: Plane) -> None:
    outcome = plane.call("ModelInfer", _churn(plane, model_version="2"))
    answer = plane.message("ModelInferResponse").FromString(outcome.body)
    record = plane.last()
    assert dict(outcome.trailers) == {
        "kilter-prediction-id": record.prediction_id,
        "kilter-model-version": "2",
        "kilter-generation": "41",
    }
    assert answer.parameters["prediction_id"].string_param == record.prediction_id
    assert answer.parameters["generation"].int64_param == 41
    assert (record.face, record.version, record.arm, record.kind) == ("grpc", 2, "pinned", RecordKind.PREDICTION)


def test_outputs_are_those_asked_for(plane: Plane) -> None:
    answer = plane.told("ModelInfer", _churn(plane, outputs=[{"name": "score"}]))
    assert [one.name for one in answer.outputs] == ["score"]
    outcome = plane.call("ModelInfer", _churn(plane, outputs=[{"name": "scores"}]))
    assert (outcome.status, _code(outcome)) == (Status.INVALID_ARGUMENT, "input.unknown_name")


def test_the_routing_key_comes_in_metadata_or_in_parameters(plane: Plane) -> None:
    keyed = _price(plane, parameters={"routing_key": {"string_param": "body"}})
    plane.told("ModelInfer", keyed)
    assert plane.last().entity_id == "body"
    plane.told("ModelInfer", keyed, metadata=(("kilter-routing-key", "metadata"), ("x-request-id", "r1")))
    assert (plane.last().entity_id, plane.last().request_id) == ("metadata", "r1")
    plane.told("ModelInfer", _price(plane), metadata=(("kilter-routing-key", b"bytes"), ("trace-bin", b"\xff")))
    assert plane.last().entity_id == "bytes"


def test_a_request_at_level_disk_is_answered_later(plane: Plane) -> None:
    outcome = plane.call("ModelInfer", _price(plane, name="safe"))
    assert outcome.status == 0
    assert plane.last().deployment == "safe"


def test_the_soonest_deadline_holds(plane: Plane) -> None:
    assert plane.call("ModelInfer", _price(plane), remaining_s=5.0).status == 0
    late = plane.call("ModelInfer", _price(plane), remaining_s=0.0)
    assert (late.status, _code(late)) == (Status.DEADLINE_EXCEEDED, "busy.deadline")
    for name in ("price", "safe"):
        timed = _price(plane, name=name, parameters={"timeout": {"int64_param": 10_000_000}})
        assert plane.call("ModelInfer", timed, remaining_s=0.0).status == Status.DEADLINE_EXCEEDED
    assert plane.last().kind is RecordKind.FAILURE
    unlimited = _price(plane, parameters={"timeout": {"uint64_param": 0}})
    assert plane.call("ModelInfer", unlimited).status == 0


_WRONG_PARAMETERS: dict[str, dict[str, Any]] = {
    "key as number": {"routing_key": {"int64_param": 1}},
    "key as nothing": {"routing_key": {}},
    "timeout as text": {"timeout": {"string_param": "1"}},
    "negative timeout": {"timeout": {"int64_param": -1}},
}


@pytest.mark.parametrize("case", _WRONG_PARAMETERS)
def test_parameters_of_another_type_are_refused(plane: Plane, case: str) -> None:
    outcome = plane.call("ModelInfer", _price(plane, parameters=_WRONG_PARAMETERS[case]))
    assert outcome.status == Status.INVALID_ARGUMENT
    assert next(iter(_WRONG_PARAMETERS[case])) in outcome.sentence


def test_unknown_parameters_are_ignored(plane: Plane) -> None:
    assert plane.call("ModelInfer", _price(plane, parameters={"priority": {"double_param": 0.5}})).status == 0


def test_a_deadline_in_metadata_must_be_a_number(plane: Plane) -> None:
    outcome = plane.call("ModelInfer", _price(plane), metadata=(("kilter-timeout-ms", "soon"),))
    assert outcome.status == Status.INVALID_ARGUMENT


def test_a_failing_model_is_a_fault_of_the_server_and_on_record(plane: Plane) -> None:
    request = _churn(plane, model_name="sick")
    outcome = plane.call("ModelInfer", request)
    assert (outcome.status, _code(outcome)) == (Status.INTERNAL, "model.failed")
    assert plane.last().kind is RecordKind.FAILURE


def test_refusals_are_counted_with_the_deployment_that_was_asked(plane: Plane) -> None:
    plane.call("ModelInfer", _price(plane, name="nobody"))
    plane.call("ModelReady", plane.message("ModelReadyRequest", name="nobody"))
    plane.call("ModelInfer", b"\xff")
    assert [(error.code, name) for error, name in plane.refused] == [
        ("state.not_found", "nobody"),
        ("state.not_found", "nobody"),
        ("input.invalid", ""),
    ]


def test_who_must_not_come_in_is_turned_away_before_anything_is_read(plane: Plane) -> None:
    def admit() -> None:
        raise Overloaded("too much at once", retry_after_s=3.0)  # noqa: EM101, TRY003 - a test's words

    plane.service = GrpcService(
        predictor=plane.predictor,
        repository=Repository(predictor=plane.predictor, journal=plane.journal),
        is_failing=lambda: False,
        admit=admit,
    )
    outcome = plane.call("ModelInfer", b"\xff")
    assert (outcome.status, dict(outcome.trailers)["retry-after"]) == (Status.RESOURCE_EXHAUSTED, "3")
    assert plane.told("ServerLive").live


def test_an_error_of_the_control_plane_is_a_fault_and_says_nothing(plane: Plane) -> None:
    outcome = plane.service.refusal(Conflict("a secret of the control plane"))
    assert (outcome.status, _code(outcome)) == (Status.INTERNAL, KilterError.code)
    assert "secret" not in outcome.sentence


def test_long_sentences_are_cut(plane: Plane) -> None:
    outcome = plane.call("ModelInfer", _price(plane, name="n" * 5_000))
    assert len(outcome.sentence) <= 500


@pytest.mark.parametrize("method", ["ModelStreamInfer", "SystemSharedMemoryStatus", "Nope"])
def test_what_is_not_offered_is_named_with_what_is(plane: Plane, method: str) -> None:
    outcome = plane.call(method, b"")
    assert outcome.status == Status.UNIMPLEMENTED
    assert method in outcome.sentence
    assert "ModelInfer" in outcome.sentence


def test_every_prefix_of_a_good_request_is_answered_or_refused(plane: Plane) -> None:
    whole = _churn(plane).SerializeToString()
    for length in range(len(whole)):
        outcome = plane.call("ModelInfer", whole[:length])
        assert outcome.status in (Status.INVALID_ARGUMENT, Status.NOT_FOUND), (length, outcome)
    assert plane.call("ModelInfer", whole).status == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), method=st.sampled_from(["ModelInfer", "ModelReady", "RepositoryModelLoad"]))
def test_garbage_is_the_callers_mistake(plane: Plane, body: bytes, method: str) -> None:
    outcome = plane.call(method, body)
    assert outcome.status in (Status.OK, Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.PERMISSION_DENIED)
    assert outcome.sentence or outcome.status == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_request_is_never_a_fault(plane: Plane, data: st.DataObject) -> None:
    whole = bytearray(_churn(plane).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    outcome = plane.call("ModelInfer", bytes(whole))
    assert outcome.status in (Status.OK, Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.DEADLINE_EXCEEDED), outcome


def test_what_the_log_holds_is_what_was_sent(plane: Plane) -> None:
    plane.told("ModelInfer", _price(plane, 1.5, 2.5, 3.5))
    record = plane.last()
    assert isinstance(record, PredictionRecord)
    assert struct.unpack("<3d", record.numeric) == (1.5, 2.5, 3.5)
