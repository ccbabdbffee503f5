"""What the server and its models say about themselves: documents for every face of the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilter.contracts.version import VERSION
from kilter.errors import NotReady
from kilter.faces.serving.oip.arrays import MATRIX, is_matrix, output_names
from kilter.faces.serving.oip.datatype import DECLARED, config_type

if TYPE_CHECKING:
    from kilter.contracts.signature import Signature
    from kilter.services.predictor import Predictor

__all__ = ["EXTENSIONS", "is_plane_ready", "is_ready", "model_config", "model_metadata", "server_metadata"]

EXTENSIONS: tuple[str, ...] = (
    "binary_tensor_data",
    "model_repository",
    "model_configuration",
    "statistics",
    "parameters",
)
"""Extensions of the protocol that are spoken."""

_OUTPUT_TYPES = {"label": "BYTES"}


def server_metadata() -> dict[str, Any]:
    """Return the protocol's description of the server."""
    return {"name": "kilter", "version": VERSION, "extensions": list(EXTENSIONS)}


def is_plane_ready(predictor: Predictor) -> bool:
    """Say whether every deployment of the route table can be asked."""
    return predictor.generation > 0 and all(is_ready(predictor, name) for name in predictor.deployments())


def is_ready(predictor: Predictor, name: str, number: int | None = None) -> bool:
    """Say whether a deployment, or one of its versions, can be asked.

    A deployment whose own version is broken is ready as long as its previous one stands in.

    Raises
    ------
    NotFound
        If there is no such deployment, or the version is not loaded.
    """
    try:
        target = predictor.target(name, number)
    except NotReady:
        return False
    broken = predictor.broken()
    if (name, target.variant.number) not in broken:
        return True
    previous = target.route.previous
    return number is None and previous is not None and (name, previous.version) not in broken


def model_metadata(predictor: Predictor, name: str, number: int | None = None) -> dict[str, Any]:
    """Return the protocol's description of a model; -1 is a dimension of any size.

    Raises
    ------
    NotFound
        If there is no such deployment, or the version is not loaded.
    NotReady
        If it cannot be asked now.
    """
    variant = predictor.variant(name, number)
    signature = variant.signature
    return {
        "name": name,
        "versions": [str(version) for version in predictor.versions(name)],
        "platform": f"kilter_{variant.manifest.runtime}",
        "inputs": [
            {"name": each, "datatype": datatype, "shape": [-1, *row]} for each, datatype, row in _inputs(signature)
        ],
        "outputs": [
            {"name": each, "datatype": datatype, "shape": [-1, *row]} for each, datatype, row in _outputs(signature)
        ],
    }


def model_config(predictor: Predictor, name: str, number: int | None = None) -> dict[str, Any]:
    """Return a model's configuration in Triton's form: ``dims`` are those of one row.

    One number or text per row is ``[1]`` there, with a ``reshape`` that says that it is none.

    Raises
    ------
    NotFound
        If there is no such deployment, or the version is not loaded.
    NotReady
        If it cannot be asked now.
    """
    target = predictor.target(name, number)
    variant = target.variant
    return {
        "name": name,
        "platform": f"kilter_{variant.manifest.runtime}",
        "backend": variant.manifest.runtime,
        "max_batch_size": target.route.max_rows,
        "input": [_configured(*each) for each in _inputs(variant.signature)],
        "output": [_configured(*each) for each in _outputs(variant.signature)],
    }


def _inputs(signature: Signature) -> list[tuple[str, str, list[int]]]:
    """Return name, datatype and shape of a row of each input: one matrix where that is possible."""
    if is_matrix(signature):
        return [(MATRIX, DECLARED[signature.columns[0].type], [len(signature.columns)])]
    return [(column.name, DECLARED[column.type], []) for column in signature.columns]


def _outputs(signature: Signature) -> list[tuple[str, str, list[int]]]:
    """Return name, datatype and shape of a row of each output."""
    rows = {"probabilities": [len(signature.classes)]}
    return [(name, _OUTPUT_TYPES.get(name, "FP64"), rows.get(name, [])) for name in output_names(signature)]


def _configured(name: str, datatype: str, row: list[int]) -> dict[str, Any]:
    """Return one tensor of a configuration."""
    told: dict[str, Any] = {"name": name, "data_type": config_type(datatype), "dims": row or [1]}
    if not row:
        told["reshape"] = {"shape": []}
    return told
