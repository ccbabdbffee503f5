from __future__ import annotations

import os

import numpy as np
import pytest
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression

from kilter.errors import UnsafeArtifact
from kilter.formats.base.allowlist import check_name, check_object, is_listed


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.exec",
        "builtins.getattr",
        "builtins.__import__",
        "builtins.open",
        "functools.partial",
        "importlib.import_module",
        "joblib.memory.Memory",
        "numpy.load",
        "numpy.testing.assert_equal",
        "sklearn.datasets.fetch_openml",
        "sklearn.externals.array_api_compat.x",
        "sklearnx.Model",
        "__main__.Mine",
    ],
)
def test_what_acts_is_refused_by_name_and_named(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    with pytest.raises(UnsafeArtifact) as caught:
        check_name(module, attribute)
    assert name in caught.value.message
    assert caught.value.details["global"] == name
    assert caught.value.hint


def test_a_dotted_name_is_refused() -> None:
    with pytest.raises(UnsafeArtifact):
        check_name("sklearn.base", "os.system")
    with pytest.raises(UnsafeArtifact):
        check_name("numpy", "lib.os.system")


@pytest.mark.parametrize("name", ["float32", "int64", "log1p", "ndarray", "dtype"])
def test_numpy_values_and_elementwise_functions_are_listed(name: str) -> None:
    assert is_listed("numpy", name)


@pytest.mark.parametrize("name", ["load", "save", "fromfile", "nonexistent", "vectorize"])
def test_other_names_of_numpy_are_not_listed(name: str) -> None:
    assert not is_listed("numpy", name)


def test_classes_and_pure_functions_of_the_library_pass() -> None:
    check_name("sklearn.linear_model._logistic", "LogisticRegression")
    check_object("sklearn.linear_model._logistic", "LogisticRegression", LogisticRegression)
    check_object("sklearn.feature_selection._univariate_selection", "f_classif", f_classif)
    check_object("numpy", "ndarray", np.ndarray)


def test_what_a_library_merely_imports_is_refused() -> None:
    with pytest.raises(UnsafeArtifact):
        check_object("sklearn.base", "os", os)
    with pytest.raises(UnsafeArtifact):
        check_object("sklearn.utils", "system", os.system)
    with pytest.raises(UnsafeArtifact):
        check_object("sklearn.base", "Environ", type(os.environ))
