"""Every model format that is found keeps the promises of its room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kilter import plugins
from kilter.formats import sklearn as importing
from kilter.measures.rows import batch_of
from kilter.testing.estimators import make_request, save, table_of
from kilter.testing.formats import FORMATS, FormatCase

if TYPE_CHECKING:
    from pathlib import Path

    from kilter.testing.formats import FormatClause

DRIVERS = {module.FORMAT.name: module for module in plugins.members("formats", "FORMAT")}
SUFFIXES = [(name, suffix) for name, module in DRIVERS.items() for suffix in module.FORMAT.suffixes]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FormatCase]:
    folder = tmp_path_factory.mktemp("formats")
    features, target = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, target)
    paths = {suffix: save(model, folder / f"model{suffix}") for _, suffix in SUFFIXES if suffix != ".onnx"}
    found = importing.read(str(paths[".skops"]), make_request(table_of(features, target), "y"))
    (folder / "model.onnx").write_bytes(found.files["model.onnx"])
    paths[".onnx"] = folder / "model.onnx"
    batch = batch_of(found.signature, {f"x{i}": features[:200, i] for i in range(features.shape[1])})
    expected = np.asarray(model.predict_proba(features[:200]))
    return {
        suffix: FormatCase(path=path, signature=found.signature, batch=batch, expected=expected)
        for suffix, path in paths.items()
    }


@pytest.mark.parametrize("clause", FORMATS, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("kind", SUFFIXES, ids=lambda kind: kind[1])
def test_formats_keep_their_promises(
    clause: FormatClause,
    kind: tuple[str, str],
    cases: dict[str, FormatCase],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KILTER_SANDBOX", "1")
    clause(DRIVERS[kind[0]], cases[kind[1]], tmp_path)


def test_no_suffix_belongs_to_two_formats() -> None:
    suffixes = [suffix for _, suffix in SUFFIXES]
    assert len(suffixes) == len(set(suffixes))
    assert all(set(module.FORMAT.safe_suffixes) <= set(module.FORMAT.suffixes) for module in DRIVERS.values())
