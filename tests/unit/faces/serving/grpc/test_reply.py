"""Claims about the wording of predictions: what is put together from parts is the message."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilter.faces.serving.grpc.reply import Replies
from kilter.faces.serving.grpc.tensors import put_outputs
from kilter.faces.serving.oip.arrays import answer_parameters, outputs

Plane: TypeAlias = Any  # the class of the fixture
_ALL = ("label", "score", "probabilities")


def _made(plane: Plane, rows: int) -> Any:  # noqa: ANN401 - a prediction
    target = plane.predictor.target("churn")
    batch = plane.batch(rows)
    return plane.predictor.answer(target, batch)


def _expected(plane: Plane, made: Any, wanted: tuple[str, ...], id_: str) -> Any:  # noqa: ANN401 - a message
    message = plane.message("ModelInferResponse", model_name="churn", model_version="1", id=id_)
    for key, value in answer_parameters(made).items():
        kind = {int: "int64_param", str: "string_param", bool: "bool_param"}[type(value)]
        setattr(message.parameters[key], kind, value)
    put_outputs(message, outputs(made, wanted), is_raw=True)
    return message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.sampled_from([1, 2, 17, 100]),
    wanted=st.permutations(_ALL).flatmap(lambda names: st.integers(1, 3).map(lambda some: tuple(names[:some]))),
    id_=st.one_of(st.text(max_size=5), st.sampled_from(["x" * 127, "x" * 128, "é" * 10_000])),
)
def test_parts_make_the_whole(plane: Plane, rows: int, wanted: tuple[str, ...], id_: str) -> None:
    replies = Replies(plane.messages.of("inference.ModelInferResponse"))
    for _again in range(2):  # the second time from what was kept
        made = _made(plane, rows)
        worded = plane.message("ModelInferResponse").FromString(replies.worded(made, wanted, id_, is_raw=True))
        assert worded == _expected(plane, made, wanted, id_)


def test_what_is_said_rarely_is_said_too(plane: Plane) -> None:
    replies = Replies(plane.messages.of("inference.ModelInferResponse"))
    made = _made(plane, 1)._replace(is_fallback=True)
    worded = plane.message("ModelInferResponse").FromString(replies.worded(made, _ALL, "", is_raw=True))
    assert worded == _expected(plane, made, _ALL, "")
    assert worded.parameters["fallback"].bool_param


def test_versions_and_generations_are_not_mixed_up(plane: Plane) -> None:
    replies = Replies(plane.messages.of("inference.ModelInferResponse"))
    made = _made(plane, 1)
    for generation in (41, 42, 41):
        body = replies.worded(made._replace(generation=generation), _ALL, "", is_raw=True)
        worded = plane.message("ModelInferResponse").FromString(body)
        assert worded.parameters["generation"].int64_param == generation


def test_what_is_kept_is_bounded(plane: Plane) -> None:
    replies = Replies(plane.messages.of("inference.ModelInferResponse"))
    made = _made(plane, 1)
    for generation in range(300):
        replies.worded(made._replace(generation=generation), _ALL, "", is_raw=True)
    assert len(replies._frames) <= 256  # noqa: SLF001 - what it costs is what is claimed


@pytest.mark.parametrize("rows", [1, 3])
def test_numbers_are_not_rounded(plane: Plane, rows: int) -> None:
    made = _made(plane, rows)
    body = Replies(plane.messages.of("inference.ModelInferResponse")).worded(made, ("probabilities",), "", is_raw=True)
    worded = plane.message("ModelInferResponse").FromString(body)
    np.testing.assert_array_equal(np.frombuffer(worded.raw_output_contents[0]).reshape(rows, 2), made.values)
