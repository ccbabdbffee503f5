"""Settings reach child processes unchanged, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilter.errors import SettingsError
from kilter.settings import load, transfer

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "kilter.toml").write_text(
        '[model]\nname = "a"\nsource = "a.onnx"\n[[gates]]\nmetric = "log_loss"\nmax = 0.4\n'
        "[rollout]\nmargins = { loss = 0.1 }\n"
    )
    settings = load(tmp_path)
    path = tmp_path / "deep" / "settings.json"
    transfer.write(settings, path)
    assert transfer.read(path) == settings
    assert [one.name for one in path.parent.iterdir()] == ["settings.json"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        transfer.write(load(tmp_path), tmp_path / "file" / "settings.json")


@pytest.mark.parametrize("content", [None, "", "{", '{"serving": 3}'])
def test_a_missing_or_damaged_file_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match="settings cannot be read"):
        transfer.read(path)
