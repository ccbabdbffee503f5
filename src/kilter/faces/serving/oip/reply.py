"""The answer of ``infer``: outputs as JSON, as raw bytes behind it, or some of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from kilter.faces.serving.calls import prediction_headers
from kilter.faces.serving.exchange import Reply
from kilter.faces.serving.oip.arrays import answer_parameters, outputs
from kilter.faces.serving.oip.binary import write_tensor

if TYPE_CHECKING:
    from kilter.faces.serving.oip.request import InferRequest
    from kilter.services.predictor import Prediction

__all__ = ["infer_reply"]

_OCTETS = (b"content-type", b"application/octet-stream")
_CONTENT_TYPE = b"content-type"


def infer_reply(prediction: Prediction, request: InferRequest) -> Reply:
    """Return the answer to a request.

    Parameters
    ----------
    prediction : Prediction
        Holds the outputs.
    request : InferRequest
        Says which outputs, in which form.

    Returns
    -------
    Reply
        With raw outputs it is of octets, and its header tells the length of the JSON part.
    """
    told: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for tensor in outputs(prediction, request.outputs):
        name, datatype, shape, array = tensor
        described: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if name in request.binary:
            part = write_tensor(tensor)
            described["parameters"] = {"binary_data_size": len(part)}
            raw.append(part)
        else:
            described["data"] = array
        told.append(described)
    answer: dict[str, Any] = {"model_name": prediction.deployment, "model_version": prediction.variant.name}
    if request.id is not None:
        answer["id"] = request.id
    answer["parameters"] = answer_parameters(prediction)
    answer["outputs"] = told
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = prediction_headers(prediction)
    if not raw:
        return Reply(200, headers, head)
    headers = [_OCTETS, *(header for header in headers if header[0] != _CONTENT_TYPE)]
    headers.append((b"inference-header-content-length", b"%d" % len(head)))
    return Reply(200, headers, b"".join((head, *raw)))
