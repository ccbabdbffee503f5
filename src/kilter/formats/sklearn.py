"""scikit-learn models from skops, joblib or pickle files, run by scikit-learn in an isolated child."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kilter.contracts.format import FormatSpec, Imported, LoadedModel, ReferenceTable
from kilter.contracts.signature import ColumnType
from kilter.errors import UnsafeArtifact

if TYPE_CHECKING:
    from kilter.contracts.batch import Batch
    from kilter.contracts.signature import Signature
    from kilter.formats.base.feeding import Estimator
    from kilter.formats.base.reference import Reference

__all__ = ["FORMAT", "load", "read"]

FORMAT = FormatSpec(
    name="sklearn", suffixes=(".joblib", ".pickle", ".pkl", ".skops"), runs_code=True, safe_suffixes=(".skops",)
)

_SANDBOX: Final = "KILTER_SANDBOX"
"""Environment variable that a process with little power sets to 1."""


def load(path: str, signature: Signature) -> LoadedModel:
    """Load a model through the allow-list.

    Raises
    ------
    FormatError
        If the file is corrupt, truncated, or holds no model.
    UnsafeArtifact
        If it is a pickle and this process is no sandbox, or it names a global that is not allowed.
    """
    from kilter.formats.base.feeding import NativeModel  # noqa: PLC0415 - scikit-learn takes a second to import
    from kilter.formats.base.reading import read_estimator  # noqa: PLC0415 - as above

    _require_sandbox(path)
    return NativeModel(read_estimator(path), signature)


def read(path: str, request: ReferenceTable) -> Imported:
    """Load a model, infer its signature, convert it to ONNX and compare the two.

    Raises
    ------
    FormatError
        If the file is corrupt, truncated, holds no model, or a classifier without probabilities.
    SchemaMismatch
        If the model does not fit the reference table.
    UnsafeArtifact
        As ``load``.
    """
    from kilter.formats.base.conversion import convert  # noqa: PLC0415 - heavy, needed in the importing child only
    from kilter.formats.base.reading import read_estimator  # noqa: PLC0415 - as above
    from kilter.formats.base.reference import read_reference  # noqa: PLC0415 - as above

    _require_sandbox(path)
    name = Path(path).name
    estimator = read_estimator(path)
    signature, batch = _fit(estimator, read_reference(request.arrow_ipc), request)
    result = convert(estimator, signature, batch)
    if result.parity is None:
        return Imported(
            signature=signature,
            runtime=FORMAT.name,
            runtime_file=f"original/{name}",
            files={},
            source_format=FORMAT.name,
            converted=False,
            reason=result.reason,
            rows=batch.rows,
        )
    return Imported(
        signature=signature,
        runtime="onnx",
        runtime_file="model.onnx",
        files={"model.onnx": result.graph},
        source_format=FORMAT.name,
        converted=True,
        reason=result.reason,
        rows=result.parity.rows,
        max_abs_difference=result.parity.max_abs_difference,
        label_flips=result.parity.label_flips,
        rounding_rows=result.parity.rounding_rows,
    )


def _require_sandbox(path: str) -> None:
    """Refuse a pickle outside a sandbox."""
    if not path.endswith(FORMAT.safe_suffixes) and os.environ.get(_SANDBOX) != "1":
        msg = f"`{Path(path).name}` is a pickle, which is never loaded in this process"
        raise UnsafeArtifact(
            msg,
            why="loading a pickle can run code of its author",
            hint="let an isolated worker load it",
        )


def _fit(estimator: Estimator, reference: Reference, request: ReferenceTable) -> tuple[Signature, Batch]:
    """Infer the signature; text that is numbers with blanks counts as numbers, unless the model learned it as text."""
    from kilter.formats.base import inference  # noqa: PLC0415 - with scikit-learn
    from kilter.formats.base.feeding import NativeModel, learned_texts  # noqa: PLC0415 - with scikit-learn

    learned = learned_texts(estimator)
    table = reference.with_numbers(
        tuple(
            name
            for name, kind in reference.types.items()
            if kind is ColumnType.TEXT
            and name != request.target
            and learned.isdisjoint(reference.columns[name].tolist())
        )
    )
    signature = inference.estimator_signature(estimator, table, request)
    batch = inference.sample_rows(table, signature)
    return inference.fit_missing(signature, lambda wanted: NativeModel(estimator, wanted), batch)
