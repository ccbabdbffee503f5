"""ONNX files, run by onnxruntime in the serving process itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kilter.contracts.format import FormatSpec, Imported, LoadedModel, ReferenceTable
from kilter.formats.base.session import OnnxModel, open_session

if TYPE_CHECKING:
    from kilter.contracts.signature import Signature

__all__ = ["FORMAT", "load", "read"]

FORMAT = FormatSpec(name="onnx", suffixes=(".onnx",), runs_code=False)


def load(path: str, signature: Signature) -> LoadedModel:
    """Load a graph and run it once on one row.

    Raises
    ------
    FormatError
        If the file is corrupt, truncated, or does not fit the signature.
    """
    return OnnxModel(open_session(path), signature)


def read(path: str, request: ReferenceTable) -> Imported:
    """Infer what a graph takes and gives from a reference table, then try it on rows of the table.

    Raises
    ------
    FormatError
        If the file is corrupt, truncated, or answers a row differently among others.
    SchemaMismatch
        If the model does not fit the reference table.
    """
    from kilter.formats.base.graph import graph_signature  # noqa: PLC0415 - Arrow stays out of serving processes
    from kilter.formats.base.inference import fit_missing, sample_rows  # noqa: PLC0415 - as above
    from kilter.formats.base.parity import require_batch_invariance  # noqa: PLC0415 - as above
    from kilter.formats.base.reference import read_reference  # noqa: PLC0415 - as above

    session = open_session(path)
    reference = read_reference(request.arrow_ipc)
    signature = graph_signature(path, session, reference, request)
    signature, batch = fit_missing(
        signature, lambda wanted: OnnxModel(session, wanted), sample_rows(reference, signature)
    )
    require_batch_invariance(OnnxModel(session, signature), batch)
    return Imported(
        signature=signature,
        runtime=FORMAT.name,
        runtime_file=f"original/{Path(path).name}",
        files={},
        source_format=FORMAT.name,
        converted=False,
        reason="",
        rows=batch.rows,
    )
