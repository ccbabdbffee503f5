"""Reads an estimator from a pickle, joblib or skops file through the allow-list."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joblib.numpy_pickle import NumpyUnpickler

from kilter.errors import FormatError, KilterError
from kilter.formats.base.allowlist import check_name, check_object

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Unpickler", "read_estimator"]

_COMPRESSED: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": gzip.decompress,
    b"x": zlib.decompress,
    b"BZ": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"]\x00": lzma.decompress,
}


class Unpickler(NumpyUnpickler):  # type: ignore[misc] # joblib ships no types
    """An unpickler that looks up allowed globals only; joblib's arrays are read through it too."""

    def __init__(self, data: bytes) -> None:
        super().__init__("", io.BytesIO(data), ensure_native_byte_order=True)

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base class
        """Return an allowed global.

        Raises
        ------
        UnsafeArtifact
            If the global is not allowed; it is not imported then.
        """
        if getattr(self, "proto", 0) < 3:
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        check_name(module, name)
        found = super().find_class(module, name)
        check_object(module, name, found)
        return found


def read_estimator(path: str) -> Any:  # noqa: ANN401 - scikit-learn ships no types
    """Read a fitted estimator.

    Raises
    ------
    UnsafeArtifact
        If the file names a global that is not allowed.
    FormatError
        If the file is corrupt, truncated, or holds something else.
    """
    file = Path(path)
    try:
        estimator = _read_skops(file) if file.suffix == ".skops" else Unpickler(_plain(file.read_bytes())).load()
    except KilterError:
        raise
    except ModuleNotFoundError as error:
        msg = f"`{file.name}` needs the library `{error.name}`, which is not installed"
        raise FormatError(
            msg,
            where=file.name,
            hint=f"run `pip install {(error.name or '').partition('.')[0]}`, then add the model again",
        ) from error
    except Exception as error:  # a damaged pickle fails in whatever it was about to build
        msg = f"`{file.name}` cannot be read: it is damaged, cut short, or of another kind than its suffix says"
        raise FormatError(
            msg,
            where=file.name,
            why=f"{type(error).__name__}: {str(error)[:200]}",
            hint="save the model again with `joblib.dump(model, path)`, with the scikit-learn installed here",
        ) from error
    if not hasattr(estimator, "predict") or isinstance(estimator, type):
        msg = f"`{file.name}` holds a {type(estimator).__name__}, expected a fitted model with `predict`"
        raise FormatError(
            msg,
            where=file.name,
            hint="save the fitted estimator or pipeline itself",
        )
    return estimator


def _plain(data: bytes) -> bytes:
    """Undo joblib's or gzip's compression."""
    for magic, decompress in _COMPRESSED.items():
        if data.startswith(magic):
            return decompress(data)
    return data


def _read_skops(file: Path) -> Any:  # noqa: ANN401 - scikit-learn ships no types
    """Read a skops file; types outside skops' own trust must pass the allow-list."""
    from skops import io as skops_io  # noqa: PLC0415 - half a second, for one of three kinds of files

    gate = Unpickler(b"")
    unknown = skops_io.get_untrusted_types(file=str(file))
    for name in unknown:
        module, _, attribute = name.rpartition(".")
        gate.find_class(module, attribute)
    return skops_io.load(str(file), trusted=unknown)
