"""The tree finds a deployment by name."""

from __future__ import annotations

from kilter.contracts.spec import DeploymentSpec, ModelSpec
from kilter.settings import Settings


def test_a_deployment_is_found_by_name() -> None:
    spec = DeploymentSpec(model=ModelSpec(name="a", source="a.onnx"))
    settings = Settings(deployments=(spec,))
    assert settings.deployment("a") is spec
    assert settings.deployment("b") is None
