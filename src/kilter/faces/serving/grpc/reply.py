"""Predictions as ``ModelInferResponse``, in the typed form or the raw one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilter.faces.serving.grpc.tensors import put_outputs
from kilter.faces.serving.oip.arrays import answer_parameters, outputs
from kilter.faces.serving.oip.binary import write_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilter.faces.serving.grpc.messages import Message
    from kilter.services.predictor import Prediction

__all__ = ["Replies"]

_MAX_FRAMES = 256
_ID, _PARAMETERS, _RAW = b"\x1a", b"\x22", b"\x32"  # fields 3, 4 and 6, each of some length
_TEXT, _VALUE = b"\x1a", b"\x12"  # InferParameter.string_param, and the value of an entry of a map
_KEY = b"\x0a\x0dprediction_id"
_ONE_BYTE = 0x80
_KINDS: Mapping[type, str] = {bool: "bool_param", int: "int64_param", str: "string_param"}
_USUAL = 2


class Replies:
    """Words predictions.

    Parts of one message may be put one behind the other: what all raw answers of a version with as many
    rows have in common is serialised once, and the rest is appended.

    Guarantees: both ways give the same message.

    Parameters
    ----------
    response : class
        Of ``inference.ModelInferResponse``.
    """

    def __init__(self, response: Message) -> None:
        self._response = response
        self._frames: dict[tuple[object, ...], bytes] = {}

    def worded(self, made: Prediction, wanted: Sequence[str], id_: str, *, is_raw: bool) -> bytes:
        """Return the serialised answer.

        Parameters
        ----------
        made : Prediction
            What to say.
        wanted : sequence of str
            The outputs asked for.
        id_ : str
            The caller's own, said again; may be empty.
        is_raw : bool
            Whether the caller sent raw bytes, and so gets them.
        """
        parameters = answer_parameters(made)
        if not is_raw or len(parameters) > _USUAL:
            response = self._plain(made, parameters, id_)
            put_outputs(response, outputs(made, wanted), is_raw=is_raw)
            return bytes(response.SerializeToString())
        parts = [
            self._frame(made, wanted),
            _field(_PARAMETERS, _KEY + _field(_VALUE, _field(_TEXT, made.prediction_id.encode()))),
        ]
        if id_:
            parts.append(_field(_ID, id_.encode()))
        parts += [_field(_RAW, write_tensor(output)) for output in outputs(made, wanted)]
        return b"".join(parts)

    def _plain(self, made: Prediction, parameters: Mapping[str, str | int | bool], id_: str) -> Message:
        """Return a message without outputs."""
        response = self._response(model_name=made.deployment, model_version=made.variant.name, id=id_)
        for key, value in parameters.items():
            setattr(response.parameters[key], _KINDS[type(value)], value)
        return response

    def _frame(self, made: Prediction, wanted: Sequence[str]) -> bytes:
        """Return what does not change from answer to answer: names, shapes, generation."""
        variant = made.variant
        key = (made.deployment, variant.digest, variant.number, made.generation, len(made.values), wanted)
        frame = self._frames.get(key)
        if frame is None:
            if len(self._frames) >= _MAX_FRAMES:
                self._frames.clear()
            response = self._plain(made, {"generation": made.generation}, "")
            put_outputs(response, outputs(made, wanted), is_raw=True)
            del response.raw_output_contents[:]
            frame = self._frames[key] = response.SerializeToString()
        return frame


def _field(tag: bytes, data: bytes) -> bytes:
    """Return a field of some length as it is on the wire."""
    size = len(data)
    if size < _ONE_BYTE:
        return tag + bytes((size,)) + data
    length = bytearray()
    while size >= _ONE_BYTE:
        length.append(size & 0x7F | _ONE_BYTE)
        size >>= 7
    length.append(size)
    return tag + length + data
