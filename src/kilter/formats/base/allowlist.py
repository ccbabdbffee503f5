"""Which globals a model file may name: numbers, containers, estimators; nothing that acts."""

from __future__ import annotations

from typing import Final

import numpy as np

from kilter.errors import UnsafeArtifact

__all__ = ["check_name", "check_object", "is_listed"]

_NAMES: Final = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple",
    "collections": "OrderedDict defaultdict deque",
    "copyreg": "_reconstructor",
    "_codecs": "encode",
    "datetime": "date datetime timedelta timezone",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    "numpy": "dtype ndarray matrix",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
    "numpy.core.numeric": "_frombuffer",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._philox": "Philox",
    "numpy.random._sfc64": "SFC64",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "pandas": "Index RangeIndex StringDtype CategoricalDtype",
    "pandas.arrays": "ArrowStringArray StringArray Categorical",
    "pandas.core.arrays.string_": "StringArray StringDtype",
    "pandas.core.arrays.string_arrow": "ArrowStringArray",
    "pandas.core.dtypes.dtypes": "CategoricalDtype",
    "pandas.core.indexes.base": "Index _new_Index",
    "pandas.core.indexes.range": "RangeIndex",
    "pyarrow.lib": "_restore_array py_buffer type_for_alias",
    "scipy.interpolate._bsplines": "BSpline",
    "scipy.interpolate._interpolate": "interp1d",
    "scipy._lib.array_api_compat.numpy._aliases": "asarray",
}
_CLASSES: Final = ("sklearn.", "scipy.sparse.", "xgboost.", "lightgbm.")
"""Below these any class may be named, if it is defined there."""
_NO_CLASSES: Final = ("sklearn.datasets", "sklearn.externals", "sklearn.utils._testing", "sklearn.tests")
_FUNCTIONS: Final = (
    "sklearn.feature_selection.",
    "sklearn.metrics.",
    "sklearn.preprocessing.",
    "sklearn.gaussian_process.",
    "sklearn.covariance.",
)
"""Below these any function may be named: they compute on arrays and do nothing else."""
_REBUILDERS: Final = ("newObj", "__pyx_unpickle_")


def check_name(module: str, name: str) -> None:
    """Refuse a global by its name alone, before anything is imported.

    Raises
    ------
    UnsafeArtifact
        If the global is not on the allow-list.
    """
    if is_listed(module, name):
        return
    is_banned = any(f"{module}.".startswith(f"{banned}.") for banned in _NO_CLASSES)
    if "." in name or is_banned or not f"{module}.".startswith(_CLASSES):
        raise _refused(module, name)


def check_object(module: str, name: str, found: object) -> None:
    """Refuse an object that came out of an allowed module but is no class or pure function of it.

    Raises
    ------
    UnsafeArtifact
        If it is something else, such as another library's function imported there.
    """
    if is_listed(module, name):
        return
    home = f"{getattr(found, '__module__', '')}."
    if isinstance(found, type):
        is_fine = home.startswith(_CLASSES) and not home.startswith(_NO_CLASSES)
    else:
        is_fine = name.startswith(_REBUILDERS) or (callable(found) and home.startswith(_FUNCTIONS))
    if not is_fine:
        raise _refused(module, name)


def is_listed(module: str, name: str) -> bool:
    """Say whether a global is allowed by its full name; numpy's scalar types and element-wise functions are."""
    if name in _NAMES.get(module, "").split():
        return True
    return module == "numpy" and "." not in name and _is_numpy_value(getattr(np, name, None))


def _is_numpy_value(found: object) -> bool:
    """Say whether an attribute of numpy is a scalar type or an element-wise function."""
    return isinstance(found, np.ufunc) or (isinstance(found, type) and issubclass(found, np.generic))


def _refused(module: str, name: str) -> UnsafeArtifact:
    """Build the refusal."""
    return UnsafeArtifact(
        f"the model file names `{module}.{name}`, which is not allowed; it was not run",
        why="a pickle can call whatever it names: only scikit-learn, numpy, scipy.sparse and containers are let in",
        hint="save the model without code of your own, or export it to ONNX and add the `.onnx` file",
        details={"global": f"{module}.{name}"},
    )
