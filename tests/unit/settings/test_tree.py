"""The tree is plain data that travels to child processes."""

from __future__ import annotations

import msgspec

from kilter.contracts.spec import DeploymentSpec, ModelSpec
from kilter.settings import Settings


def test_settings_survive_json() -> None:
    settings = Settings(deployments=(DeploymentSpec(model=ModelSpec(name="a", source="b")),))
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
