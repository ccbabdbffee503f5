from __future__ import annotations

import pytest

from kilter.testing.rollouts import version


def test_a_manifest_finds_its_files_by_path() -> None:
    manifest = version(1).manifest
    assert manifest.entry("model.onnx") is manifest.files[0]
    with pytest.raises(KeyError, match=r"profile\.bin"):
        manifest.entry("profile.bin")
