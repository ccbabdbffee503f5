from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilter.contracts.batch import Batch, Scores
from kilter.engines.isolation.wire import Answer, Call, Fault, fault_of, raise_fault, receive, send
from kilter.errors import FormatError, ModelFailed, UnsafeArtifact

if TYPE_CHECKING:
    from kilter.testing.estimators import Untyped


def test_rows_and_scores_come_out_as_they_went_in() -> None:
    text = np.array([["a", None], ["ü", ""]], dtype=object)
    batch = Batch(rows=2, numeric=np.array([[1.5], [np.nan]]), text=text)
    scores = Scores(values=np.array([[0.25, 0.75], [1.0, 0.0]]))
    left, right = socket.socketpair()
    with left, right:
        send(left, Call.of(batch))
        call = receive(right, Call)
        send(right, Answer.of(scores))
        answer = receive(left, Answer)
    assert call is not None
    assert answer is not None
    got: Untyped = call.batch()
    assert np.array_equal(got.numeric, np.asarray(batch.numeric), equal_nan=True)
    assert np.array_equal(got.text, text)
    assert np.asarray(answer.scores().values).tolist() == [[0.25, 0.75], [1.0, 0.0]]


def test_rows_without_text_keep_their_number() -> None:
    batch = Batch(rows=3, numeric=np.zeros((3, 2)), text=np.empty((3, 0), dtype=object))
    assert np.asarray(Call.of(batch).batch().text).shape == (3, 0)


def test_the_end_of_a_connection_is_none_at_any_byte() -> None:
    for head in (b"", b"\0\0", struct.pack(">I", 10) + b"half"):
        left, right = socket.socketpair()
        with right:
            left.sendall(head)
            left.close()
            assert receive(right, Answer) is None


def test_a_frame_of_absurd_length_is_refused() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(OSError, match="frame of"):
            receive(right, Answer)


def test_errors_keep_their_class_and_parts() -> None:
    with pytest.raises(UnsafeArtifact, match="no") as caught:
        raise_fault(fault_of(UnsafeArtifact("no", where="w", why="y", hint="do")))
    assert (caught.value.where, caught.value.why, caught.value.hint) == ("w", "y", "do")


@pytest.mark.parametrize("kind", ["SystemExit", "object", "annotations"])
def test_a_class_that_is_none_of_kilters_is_never_raised(kind: str) -> None:
    with pytest.raises(FormatError):
        raise_fault(Fault(kind, "odd"))


def test_foreign_errors_become_format_errors() -> None:
    fault = fault_of(MemoryError("much"))
    assert (fault.kind, fault.why) == ("FormatError", "MemoryError: much")
    assert fault_of(ModelFailed("m")).kind == "ModelFailed"
