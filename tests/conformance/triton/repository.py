"""The same two models for Triton: a repository whose Python computes what the originals compute."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write"]

_MODEL = """
import json

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        with open(args["model_repository"] + "/1/weights.json") as file:
            self._weights = json.load(file)

    def _features(self, one):
        weights = self._weights
        if not weights["texts"]:
            return pb.get_input_tensor_by_name(one, "input").as_numpy()
        numbers = [pb.get_input_tensor_by_name(one, name).as_numpy().astype(np.float64) for name in weights["numbers"]]
        columns = [(values - mean) / scale for values, mean, scale in zip(numbers, weights["mean"], weights["scale"])]
        for name, levels in weights["texts"].items():
            values = pb.get_input_tensor_by_name(one, name).as_numpy()
            columns += [np.array([value.decode() == level for value in values], dtype=np.float64) for level in levels]
        return np.stack(columns, axis=1)

    def execute(self, requests):
        answers = []
        for one in requests:
            logit = self._features(one) @ np.array(self._weights["coefficients"]) + self._weights["intercept"]
            score = 1 / (1 + np.exp(-logit))
            label = np.array([self._weights["classes"][int(p >= 0.5)] for p in score], dtype=np.object_)
            made = {"label": label, "score": score, "probabilities": np.stack([1 - score, score], axis=1)}
            wanted = one.requested_output_names()
            answers.append(pb.InferenceResponse([pb.Tensor(name, made[name]) for name in made if name in wanted]))
        return answers
"""
_OUTPUTS = """
output [
  { name: "label", data_type: TYPE_STRING, dims: [-1] },
  { name: "score", data_type: TYPE_FP64, dims: [-1] },
  { name: "probabilities", data_type: TYPE_FP64, dims: [-1, 2] }
]
instance_group [{ kind: KIND_CPU, count: 1 }]
"""
_TYPES = {"FP64": "TYPE_FP64", "INT64": "TYPE_INT64", "BOOL": "TYPE_BOOL", "BYTES": "TYPE_STRING"}


def write(folder: Path, deployments: dict[str, Any]) -> None:
    """Write ``folder/repository`` for the deployments of a running kilter."""
    for name, deployment in deployments.items():
        version = folder / "repository" / name / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(_MODEL)
        (version / "weights.json").write_text(json.dumps(deployment["weights"] | {"classes": deployment["classes"]}))
        if name == "matrix":
            inputs = f'{{ name: "input", data_type: TYPE_FP64, dims: [-1, {len(deployment["columns"])}] }}'
        else:
            inputs = ", ".join(
                f'{{ name: "{column}", data_type: {_TYPES[kind]}, dims: [-1] }}'
                for column, kind in deployment["datatypes"].items()
            )
        config = f'name: "{name}"\nbackend: "python"\nmax_batch_size: 0\ninput [{inputs}]{_OUTPUTS}'
        (version.parent / "config.pbtxt").write_text(config)
